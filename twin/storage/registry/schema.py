"""The tables of the registry. A change here needs a migration; a test compares the two.

Things that are asked for as a whole (incidents, notices, runs, weather) are documents beside the columns that lists
and look-ups need; things that others join and count (sensors, customers) are real columns.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    false,
    text,
)

from twin.storage.registry.columns import Finite, Moment, Serial, Words

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("letter_id", Serial, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # of topic and payload: payloads outgrow any index
    Column("received_at", Moment, nullable=False),
    Column("topic", Words, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("reason", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("times_seen", BigInteger, nullable=False),
    Index(None, "received_at", "letter_id"),
    sqlite_autoincrement=True,
)

sensors = Table(
    "sensors",
    metadata,
    Column("sensor_id", Words, primary_key=True),
    Column("quantity", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("unit", Words, nullable=False),
    Column("element_type", Words, nullable=False),
    Column("element_id", Words, nullable=False),
    Column("district", Words, nullable=False),
    Column("expected_every_s", Finite, nullable=False),
    Column("low", Finite),
    Column("high", Finite),
    Column("max_rate_per_s", Finite),
    Column("flat_after_s", Finite),
    Column("redundant_with", Words, nullable=False, server_default=text("''")),
    Column("rollover_at", Finite),
    Column("one_way", Boolean, nullable=False, server_default=false()),
    Column("overflow_m", Finite),
    Column("gateway_id", Words, nullable=False, server_default=text("''")),
    Column("connection_id", Words, nullable=False, server_default=text("''")),
)

isolation_valves = Table(
    "isolation_valves",
    metadata,
    Column("valve_id", Words, primary_key=True),
    Column("link_id", Words, nullable=False),
    Column("near_node", Words, nullable=False),
    Column("operable", Boolean, nullable=False),
    Column("normally_closed", Boolean, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("connection_id", Words, primary_key=True),
    Column("customer_id", Words, nullable=False),
    Column("node_id", Words, nullable=False),
    Column("population", BigInteger, nullable=False),
    Column("sensitive", Words, nullable=False),
    Column("language", Words, nullable=False),
    Column("channels", Words, nullable=False),  # a JSON list
    Column("consent", Boolean, nullable=False),
    Column("quiet_hours", Words, nullable=False),
    Column("street", Words, nullable=False),
    Column("postcode", Words, nullable=False),
    Column("phone", Words, nullable=False),
    Column("email", Words, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("document", Words, nullable=False),
    Index(None, "opened_at", "incident_id"),
    Index(None, "state", "opened_at"),
)

notices = Table(
    "notices",
    metadata,
    Column("notice_id", Words, primary_key=True),
    Column("incident_id", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("document", Words, nullable=False),
    Index(None, "created_at", "notice_id"),
    Index(None, "incident_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_number", Serial, primary_key=True),
    Column("run_id", Words, nullable=False, unique=True),
    Column("kind", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("document", LargeBinary, nullable=False),  # compressed JSON
    Index(None, "kind", "issued_at", "run_number"),
    sqlite_autoincrement=True,
)

weather = Table(
    "weather",
    metadata,
    Column("weather_number", Serial, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # of source, gage and times; NULLs are never equal
    Column("source", Words, nullable=False),
    Column("gage_id", Words, nullable=False),
    Column("issued_at", Moment),
    Column("available_at", Moment, nullable=False),
    Column("ranked_at", Moment, nullable=False),  # issued_at, or available_at where the provider states none
    Column("document", LargeBinary, nullable=False),  # compressed JSON
    Index(None, "ranked_at", "available_at"),
    sqlite_autoincrement=True,
)

states = Table(
    "states",
    metadata,
    Column("model_id", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("valid_at", Moment, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("available_at", Moment),
    Column("continuity_error_pct", Finite),
    Column("rain_mm", Finite, nullable=False),
    Column("cold", Boolean, nullable=False),
    Column("flooded_m3", Words, nullable=False),  # a JSON object
)

model_files = Table(
    "model_files",
    metadata,
    Column("kind", Words, primary_key=True),
    Column("sha256", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("imported_at", Moment, nullable=False),
)

model_files_in_use = Table(
    "model_files_in_use",
    metadata,
    Column("kind", Words, primary_key=True),
    Column("sha256", Words, nullable=False),
    ForeignKeyConstraint(["kind", "sha256"], [model_files.c.kind, model_files.c.sha256]),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("role", Words, nullable=False),
    Column("secret_hash", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("revoked_at", Moment),
)

audit = Table(
    "audit",
    metadata,
    Column("entry_id", Serial, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Index(None, "at", "entry_id"),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("name", Words, primary_key=True),
    Column("holder", Words, nullable=False),
    Column("expires_at", Moment, nullable=False),
)

beats = Table(
    "beats",
    metadata,
    Column("role", Words, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("detail", Words, nullable=False),
    Column("figures", Words),  # a JSON object
)

events = Table(
    "events",
    metadata,
    Column("event_id", Serial, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("detail", Words, nullable=False),
    Column("times_seen", BigInteger, nullable=False),
    Index(None, "first_at", "event_id"),
    Index(None, "kind", "subject", "last_at"),
    sqlite_autoincrement=True,
)

gaps = Table(
    "gaps",
    metadata,
    Column("gap_id", Serial, primary_key=True),
    Column("sensor_id", Words, nullable=False),
    Column("gateway_id", Words, nullable=False),
    Column("start", Moment, nullable=False),
    Column("end", Moment, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("missing_at_first", BigInteger, nullable=False),
    Column("found_at", Moment, nullable=False),
    Column("state", Words, nullable=False),
    Column("first_seq", BigInteger),
    Column("last_seq", BigInteger),
    Column("requests", BigInteger, nullable=False),
    Column("requested_at", Moment),
    Column("closed_at", Moment),
    UniqueConstraint("sensor_id", "start"),
    Index(None, "start", "gap_id"),
    Index(None, "state"),
    sqlite_autoincrement=True,
)

windows = Table(
    "windows",
    metadata,
    Column("window_id", Serial, primary_key=True),
    Column("sensor_id", Words, nullable=False),
    Column("start", Moment, nullable=False),
    Column("end", Moment, nullable=False),
    sqlite_autoincrement=True,
)

stale_marks = Table(
    "stale_marks",
    metadata,
    Column("sensor_id", Words, primary_key=True),
    Column("since", Moment, nullable=False),
)

trust_days = Table(
    "trust_days",
    metadata,
    Column("sensor_id", Words, primary_key=True),
    Column("day", Words, primary_key=True),
    Column("document", Words, nullable=False),
    Index(None, "day"),
)

scenario_jobs = Table(
    "scenario_jobs",
    metadata,
    Column("job_id", Words, primary_key=True),
    Column("asked_at", Moment, nullable=False),
    Column("asked_by", Words, nullable=False),
    Column("asked", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("runs_done", BigInteger, nullable=False),
    Column("begun_at", Moment),
    Column("ended_at", Moment),
    Column("model_sha256", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("result", LargeBinary),
    Index(None, "state"),
    Index(None, "asked_at", "job_id"),
)

residuals = Table(
    "residuals",
    metadata,
    Column("sensor_id", Words, primary_key=True),
    Column("observed_at", Moment, primary_key=True),
    Column("known_at", Moment, nullable=False),
    Column("run_id", Words, nullable=False),
    Column("observed", Finite, nullable=False),
    Column("modelled", Finite, nullable=False),
    Column("assumed", Boolean, nullable=False),
    Index(None, "observed_at", "sensor_id"),
)

imports = Table(
    "imports",
    metadata,
    Column("digest", Words, primary_key=True),  # of the file's content
    Column("name", Words, nullable=False),
    Column("rows_done", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("document", Words, nullable=False),
)

probes = Table(
    "probes",
    metadata,
    Column("probe_id", Serial, primary_key=True),
    Column("filler", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
