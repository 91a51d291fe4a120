"""Every setting of h2twin, and the only place that reads the environment.

All names start with `TWIN_`; an unknown one is refused, so that a typing error is not a silent default; an empty value
is one that is not given. Secrets are never printed, and secrets that everybody knows are refused outside the demo.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from twin.errors import ConfigError
from twin.incidents import IncidentKind

PREFIX = "TWIN_"
KNOWN_DEFAULT_SECRETS = frozenset(
    {"", "admin", "changeme", "change-me", "default", "h2twin", "password", "secret", "token", "my-super-secret-token"}
)


DEFAULT_CLIENT_ID = "h2twin-ingest"
DEFAULT_SENDER = "h2twin@localhost"
DEFAULT_PUBLIC_URL = "http://127.0.0.1:8000"


class Settings(BaseSettings):
    """The settings of one installation; each field is the environment variable `TWIN_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    data_dir: Path = Field(Path("h2twin-data"), description="Folder of everything that is kept.")
    timezone: str = Field("Europe/Lisbon", description="Zone of the times shown to people.")
    model_timezone: str = Field("UTC", description="Zone of the supply model's clock and daily patterns.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level that is logged.")

    mqtt_url: SecretStr | None = Field(
        None, description="Broker, mqtt[s]://user:password@host:port; without it the embedded broker is started."
    )
    mqtt_client_id: str = Field(DEFAULT_CLIENT_ID, description="Fixed id of the ingester's persistent session.")
    ingest_share: str = Field(
        "", description="Group of ingesters that share the messages; each has a TWIN_MQTT_CLIENT_ID of its own."
    )
    mqtt_largest_packet_mb: int = Field(
        16, ge=1, le=256, description="Larger messages are not read; keep it above the broker's own limit."
    )
    mqtt_port: int = Field(1883, ge=0, le=65535, description="Port of the embedded broker; 0 picks a free one.")
    mappings: Path | None = Field(None, description="TOML file that maps other payloads to sensors.")
    gateway_rate: float = Field(
        200.0, ge=0, description="Live messages a second that one gateway may send; the rest is refused. 0: no limit."
    )

    home_assistant: bool = Field(False, description="Tell Home Assistant of sensors and figures by MQTT discovery.")
    home_assistant_prefix: str = Field(
        "homeassistant", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", description="Its discovery prefix."
    )
    home_assistant_meters: bool = Field(
        False, description="Tell it of household meters too; their readings are personal data."
    )

    influx_url: str | None = Field(None, description="InfluxDB 2; without it readings are kept in SQLite.")
    influx_org: str = Field("h2twin", description="Organisation in InfluxDB.")
    influx_bucket: str = Field("h2twin", description="Bucket in InfluxDB.")
    influx_token: SecretStr | None = Field(None, description="Token with read and write access to the bucket.")
    spool_readings: int = Field(
        5_000_000, ge=1000, description="Readings that may wait for InfluxDB; then ingest pauses and drops nothing."
    )
    store_max_mb: int | None = Field(
        None, ge=10, description="Megabytes that the embedded store, or the spool, may grow to; without it, the disk."
    )
    seal_after_days: int | None = Field(
        None, ge=2, description="Embedded store: days this old are sealed in Parquet; without it, none."
    )
    keep_readings_days: int | None = Field(
        None, ge=7, description="Embedded store: readings older than this are deleted, rollups stay; without it, none."
    )
    keep_rollups_15m_days: int | None = Field(
        None, ge=7, description="Embedded store: rollups of 15 minutes older than this are deleted; without it, none."
    )
    keep_rollups_1h_days: int | None = Field(
        None, ge=7, description="Embedded store: rollups of 1 hour older than this are deleted; without it, none."
    )
    keep_rollups_1d_days: int | None = Field(
        None, ge=7, description="Embedded store: rollups of 1 day older than this are deleted; without it, none."
    )
    database_url: SecretStr | None = Field(
        None, description="Registry database, postgresql+psycopg://…; without it SQLite in the data folder."
    )

    cycle_s: float = Field(300.0, gt=0, description="Seconds from one forecast to the next.")
    supply_horizon_h: float = Field(48.0, gt=0, le=24 * 14, description="Hours that the supply model looks ahead.")
    supply_members: int = Field(
        50, ge=0, le=1000, description="Courses of demand that the look-ahead is run with beside the median one."
    )
    drainage_horizon_h: float = Field(24.0, gt=0, le=24 * 14, description="Hours that the drainage model looks ahead.")
    required_pressure_m: float = Field(10.0, gt=0, description="Service pressure below which supply counts as cut.")
    flood_probability: float = Field(0.3, gt=0, le=1, description="Probability from which a flood is an incident.")
    workers: int = Field(2, ge=1, le=256, description="Engine processes.")
    engine_time_limit_s: float = Field(120.0, gt=0, description="A model run that takes longer is ended and failed.")
    engine_memory_mb: int = Field(2048, ge=256, description="Memory that an engine process may use.")

    dask_scheduler: str | None = Field(
        None, description="Dask scheduler that scenarios are run by, tls://host:port; without it, the engine processes."
    )
    dask_unencrypted: bool = Field(
        False, description="Allow tcp:// to a scheduler elsewhere: whoever reaches it can run any code here and there."
    )

    weather: str = Field(
        "none",
        pattern="^(none|open_meteo|met_norway|files)$",
        description="Provider of forecasts; with none, climatology is used and labelled as such.",
    )
    weather_latitude: float | None = Field(None, ge=-90, le=90, description="Where the forecast is for.")
    weather_longitude: float | None = Field(None, ge=-180, le=180, description="Where the forecast is for.")
    weather_files: Path | None = Field(None, description="Folder of weather ensembles in the internal JSON.")
    weather_user_agent: str = Field("", description="Who asks, with a contact; MET Norway requires it.")
    open_meteo_url: str = Field("https://api.open-meteo.com", description="Open-Meteo forecasts.")
    open_meteo_ensemble_url: str = Field("https://ensemble-api.open-meteo.com", description="Open-Meteo ensembles.")
    open_meteo_key: SecretStr | None = Field(None, description="Key of a commercial Open-Meteo plan.")
    met_norway_url: str = Field("https://api.met.no", description="MET Norway's locationforecast.")

    notice_auto_publish: Annotated[frozenset[IncidentKind], NoDecode] = Field(
        frozenset(), description="Kinds of incidents whose notices go out without a person, comma-separated."
    )
    notice_sender: str = Field(DEFAULT_SENDER, description="CAP sender: an address that names the utility.")
    public_url: str = Field(DEFAULT_PUBLIC_URL, description="Address of the public pages, for links in notices.")

    @field_validator("notice_auto_publish", mode="before")
    @classmethod
    def _split_kinds(cls, value: object) -> object:
        return frozenset(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("timezone", "model_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not a zone of the IANA database, such as Europe/Lisbon") from error
        return value

    @field_validator("notice_sender")
    @classmethod
    def _can_stand_in_cap(cls, value: str) -> str:
        if re.search(r"[\s,<&]", value) or not value.isprintable():
            raise ValueError(f"{value!r} cannot be a CAP sender: no blanks, commas, < or &, such as water@example.org")
        return value

    @field_validator("dask_scheduler")
    @classmethod
    def _is_a_scheduler(cls, value: str | None) -> str | None:
        if value is not None and _scheduler_host(value) is None:
            raise ValueError(f"{value!r} is not tls://host:port or tcp://host:port")
        return value

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not _is_plain_address(value):
            raise ValueError(f"{value!r} is not http(s)://host[:port][/path] without a query")
        return value

    @property
    def model_zone(self) -> ZoneInfo:
        """The zone of the supply model's clock."""
        return ZoneInfo(self.model_timezone)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the times shown to people."""
        return ZoneInfo(self.timezone)


def load_settings(**given: object) -> Settings:
    """Read the environment; `given` (from the command line) wins over it, None meaning not given.

    Raises:
        ConfigError: If a variable is unknown or a value is not acceptable; each is named with the rule.
    """
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX) and name[len(PREFIX) :].lower() not in Settings.model_fields
    )
    if unknown:
        raise ConfigError(f"unknown setting {', '.join(unknown)}; `h2twin settings` lists the known ones")
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigError(f"settings: {faults}") from error
    _refuse_halves(settings)
    _refuse_known_secrets(settings)
    return settings


_OF_THE_EMBEDDED_STORE = (
    "seal_after_days",
    "keep_readings_days",
    "keep_rollups_15m_days",
    "keep_rollups_1h_days",
    "keep_rollups_1d_days",
)


def _refuse_halves(settings: Settings) -> None:
    for name in _OF_THE_EMBEDDED_STORE:
        if settings.influx_url and getattr(settings, name) is not None:
            raise ConfigError(
                f"{PREFIX}{name.upper()} is for the embedded store, and TWIN_INFLUX_URL is set: set the retention of "
                "the bucket in InfluxDB instead"
            )
    if settings.influx_url and settings.influx_token is None:
        raise ConfigError("TWIN_INFLUX_URL is set but TWIN_INFLUX_TOKEN is not")
    if settings.weather in {"open_meteo", "met_norway"} and None in (
        settings.weather_latitude,
        settings.weather_longitude,
    ):
        raise ConfigError(f"TWIN_WEATHER={settings.weather} needs TWIN_WEATHER_LATITUDE and TWIN_WEATHER_LONGITUDE")
    if settings.weather == "met_norway" and not settings.weather_user_agent:
        raise ConfigError("TWIN_WEATHER=met_norway needs TWIN_WEATHER_USER_AGENT (who asks, with a contact)")
    if settings.weather == "files" and settings.weather_files is None:
        raise ConfigError("TWIN_WEATHER=files needs TWIN_WEATHER_FILES")
    if settings.ingest_share and settings.mqtt_url is None:
        raise ConfigError("TWIN_INGEST_SHARE needs TWIN_MQTT_URL: the embedded broker has one ingester")
    if settings.ingest_share and "mqtt_client_id" not in settings.model_fields_set:
        raise ConfigError(
            "TWIN_INGEST_SHARE needs TWIN_MQTT_CLIENT_ID, fixed and different for each ingester of the group: two with "
            "one id throw each other out for ever"
        )
    if settings.dask_scheduler and settings.dask_scheduler.startswith("tcp:") and not settings.dask_unencrypted:
        host = _scheduler_host(settings.dask_scheduler) or ""
        if not _is_loopback(host):
            raise ConfigError(
                f"TWIN_DASK_SCHEDULER leads to {host} without TLS: whoever reaches such a scheduler can run any code "
                "on it, on its workers and here. Use tls://, or set TWIN_DASK_UNENCRYPTED=on where nobody else can"
            )
    if settings.notice_auto_publish:
        for name, default in (("notice_sender", DEFAULT_SENDER), ("public_url", DEFAULT_PUBLIC_URL)):
            if getattr(settings, name) == default:
                raise ConfigError(
                    f"TWIN_NOTICE_AUTO_PUBLISH needs {PREFIX}{name.upper()}: notices would go to the public by "
                    f"themselves with {default}"
                )


def _refuse_known_secrets(settings: Settings) -> None:
    for name in ("influx_token", "open_meteo_key"):
        secret = getattr(settings, name)
        if secret is not None and secret.get_secret_value().lower() in KNOWN_DEFAULT_SECRETS:
            raise ConfigError(f"{PREFIX}{name.upper()} is a secret that everybody knows; set one of your own")
    for name in ("mqtt_url", "database_url"):
        url = getattr(settings, name)
        password = _password(url.get_secret_value()) if url is not None else None
        if password is not None and password.lower() in KNOWN_DEFAULT_SECRETS:
            raise ConfigError(
                f"the password in {PREFIX}{name.upper()} is one that everybody knows; set one of your own"
            )


def _scheduler_host(url: str) -> str | None:
    """Return the host of a scheduler's address, or None where it is not tcp://host:port or tls://host:port."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_plain = parts.scheme in ("tcp", "tls") and bool(parts.port) and url == f"{parts.scheme}://{parts.netloc}"
    except ValueError:  # a port that is no number, half an IPv6 address
        return None
    return parts.hostname if is_plain and re.search(r"[\s@]", url) is None else None


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, which may lead anywhere
        return False


def _is_plain_address(url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        return False
    return is_complete and re.search(r"[\s<>\"?#@]", url) is None


def _password(url: str) -> str | None:
    from urllib.parse import unquote, urlsplit

    password = urlsplit(url).password
    return None if password is None else unquote(password)
