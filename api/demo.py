"""The demo: C-Town relived, from a gateway's readings to notices, through every real part.

A gateway process publishes the published SCADA and the weather to a real broker; the ingester checks and stores them;
the cycle turns at every hour of the record; the pages and the API serve what came out. Nothing is written to the
readings' store from the side.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api import bootstrap
from api.auth import make_key
from api.roles import IngestRole, WebRole
from api.settings import Settings
from models.networks import ctown
from models.networks.ctown import period
from models.networks.ctown.events import pump_trip
from models.networks.ctown.scada import scada_rows
from models.networks.ctown.weather import ATTRIBUTION, weather_hours
from twin.clock import ReplayClock
from twin.cycle import CycleOutcome
from twin.errors import ConfigError
from twin.forecasts import Rung, RunStatus
from twin.incidents import IncidentKind
from twin.network import NetworkKind
from twin.notices import NoticeStatus
from twin.ports import ModelFile
from twin.replay import Replay, Row, Step

EVENTS = ("pump-trip", "none")
RAIN_SENSOR, TEMPERATURE_SENSOR = "RAIN_1", "TEMP_1"
TRIP_CAUSES = frozenset({"tank_empty:T3", "pump_down:PU4", "pump_down:PU5"})
"""What the twin may rightly name as the cause when station S2, which fills tank T3, trips."""
STORM_MM = 20.0
"""Rain in one hour from which the demo town's undersized sewers are expected to flood."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to relive. `speed` None means as fast as the machine can."""

    hours: int = 72
    speed: float | None = 600.0
    event: str = "pump-trip"
    members: int = 10
    start: datetime = period.START
    port: int | None = None

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise ConfigError(f"unknown event {self.event!r}; known are {', '.join(EVENTS)}")

    @property
    def end(self) -> datetime:
        """The moment after the last hour."""
        return self.start + timedelta(hours=self.hours)


def demo_steps(plan: DemoPlan) -> Iterator[Step]:
    """Yield one step per hour of the record, with the injected event where the plan has one."""
    # The trip's mass balance needs the hour before it, wherever the demo begins.
    rows = scada_rows(min(plan.start, period.START), plan.end)
    if plan.event == "pump-trip" and plan.end > period.TRIP_AT:
        rows = pump_trip(rows, period.TRIP_STATION, period.TRIP_AT, repaired_at=period.REPAIRED_AT)
    weather = {hour.observed_at: hour for hour in weather_hours(plan.start, plan.end)}
    for scada in rows:
        if scada.observed_at < plan.start:
            continue
        at = scada.observed_at
        values = [Row(sensor_id, at, value, unit) for sensor_id, (value, unit) in scada.values.items()]
        values.append(Row(RAIN_SENSOR, at, weather[at].rain_mm, "mm"))
        values.append(Row(TEMPERATURE_SENSOR, at, weather[at].temperature_c, "degC"))
        yield Step(at, tuple(values))


class Demo:
    """Everything that runs while the demo runs."""

    def __init__(self, settings: Settings, plan: DemoPlan, *, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._plan = plan
        self._say = say
        self._stack = ExitStack()
        self.clock = ReplayClock(plan.start)
        self.turns: list[CycleOutcome] = []
        self._began = time.monotonic()

    def __enter__(self) -> Demo:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        from api.app import create_app
        from ingest.gateway import GatewayProcess
        from ingest.weather.ladder import WeatherLadder
        from ingest.weather.synthetic import SyntheticEnsembles

        plan, settings = self._plan, self._settings
        self._say("Preparing C-Town: model, sensors, customers …")
        self.memory = bootstrap.open_memory(settings)
        self._stack.callback(self.memory.close)
        if self.memory.readings.stats().readings:
            raise ConfigError(f"{settings.data_dir} holds readings already; the demo wants an empty --data-dir")
        self._import_town()
        pool = self._stack.enter_context(bootstrap.engine_pool(settings))
        models = bootstrap.Models(self.memory.registry, pool, zone=settings.model_zone)
        self.ingest = IngestRole(settings, self.memory, self.clock)
        self._stack.callback(self.ingest.stop)
        self.ingest.start()
        services = bootstrap.make_services(settings, self.memory, models, self.clock, exercise=True, cycle_s=3600.0)
        self.web = _serve(create_app(services), plan.port)
        self._stack.callback(self.web.stop)
        self.web.start()
        key, self.api_key = make_key("demo", "admin", self.clock.now())
        self.memory.registry.save_key(key)
        gateway = self._stack.enter_context(GatewayProcess(self.ingest.broker_url, "demo"))
        synthetic = SyntheticEnsembles(
            [(h.observed_at, h.rain_mm, h.temperature_c) for h in weather_hours()],
            members=plan.members,
            horizon_h=int(settings.drainage_horizon_h),
            attribution=ATTRIBUTION,
        )
        weather = WeatherLadder([(Rung.ENSEMBLE, synthetic)], self.memory.registry)
        cycle = bootstrap.make_cycle(settings, self.memory, models, weather, self.clock, exercise=True)
        self.replay = Replay(self.clock, gateway, self._taken, cycle)

    def _import_town(self) -> None:
        from ingest.files.customers import read_customers
        from ingest.files.sensors import read_sensors

        registry = self.memory.registry
        registry.upsert_sensors(read_sensors(ctown.SENSORS_CSV))
        registry.upsert_customers(read_customers(ctown.CUSTOMERS_CSV))
        for kind, path in ((NetworkKind.SUPPLY, ctown.SUPPLY_INP), (NetworkKind.DRAINAGE, ctown.DRAINAGE_INP)):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            name = f"ctown-{kind}"
            registry.save_model_file(ModelFile(kind, name, digest, content, self.clock.now()))

    def _taken(self) -> int:
        assert self.ingest.ingester is not None
        state = self.ingest.ingester.state()
        return state.stored + state.duplicates + state.letters

    def play(self, stop: threading.Event, on_turn: Callable[[CycleOutcome], None]) -> None:
        """Relive the plan's hours; returns early when `stop` is set."""

        def turned(outcome: CycleOutcome) -> None:
            self.turns.append(outcome)
            on_turn(outcome)

        self.replay.play(demo_steps(self._plan), speed=self._plan.speed, stop=stop, on_turn=turned)

    def summary(self) -> dict[str, Any]:
        """Return the JSON object of the contract: what was counted, and the checks against the input files."""
        assert self.ingest.ingester is not None
        state = self.ingest.ingester.state()
        registry = self.memory.registry
        figures = {
            "readings_published": self.replay.published,
            "readings_stored": self.memory.readings.stats().readings,
            "dead_letters": registry.count_dead_letters(),
            "duplicates": state.duplicates,
            "cycles": len(self.turns),
            "wall_s": round(time.monotonic() - self._began, 2),
            "forecasts": registry.count_runs(),
            "incidents": registry.count_incidents(),
            "notices": registry.count_notices(),
        }
        return {**figures, "checks": self._checks(figures)}

    def _all_trusted(self) -> bool:
        now, sensors = self.clock.now(), list(self.memory.registry.sensors())
        newest = self.memory.readings.latest(sensors, at=now)
        return all(sensor in newest and newest[sensor].observed_at == now for sensor in sensors)

    def _checks(self, figures: dict[str, Any]) -> dict[str, bool]:
        expected = count_inputs(self._plan)
        notices = self.memory.registry.notices(limit=1000).items
        checks = {
            "every_input_row_was_published": figures["readings_published"] == expected.readings,
            "every_reading_is_stored_or_a_dead_letter": (
                figures["readings_stored"] + figures["dead_letters"] == expected.readings
            ),
            "one_cycle_an_hour": figures["cycles"] == expected.hours,
            "every_sensor_is_trusted_at_the_end": self._all_trusted(),
            "no_run_failed": all(turn.ok for turn in self.turns),
            "every_notice_is_an_exercise": all(notice.status is NoticeStatus.EXERCISE for notice in notices),
        }
        kinds = figures["incidents"]
        public = [notice for notice in notices if notice.is_public]
        if self._plan.event == "pump-trip" and self._plan.start <= period.TRIP_AT <= self._plan.end - timedelta(
            hours=12
        ):
            outages = [i for i in self.memory.registry.incidents(limit=1000).items if i.cause_key in TRIP_CAUSES]
            told = {notice.incident_id for notice in public}
            checks["the_pump_trip_became_an_outage"] = bool(outages)
            checks["the_outage_was_told"] = any(outage.incident_id in told for outage in outages)
        if expected.wettest_hour_mm >= STORM_MM:
            checks["the_storm_became_a_flood_prediction"] = kinds.get(IncidentKind.FLOOD_PREDICTED, 0) > 0
            checks["the_flood_was_told"] = any(notice.kind is IncidentKind.FLOOD_PREDICTED for notice in public)
        return checks


def _serve(app: object, port: int | None) -> WebRole:
    if port is not None:
        return WebRole(app, "127.0.0.1", port)
    try:
        return WebRole(app, "127.0.0.1", 8000)
    except ConfigError:
        return WebRole(app, "127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class InputCounts:
    """What the input files hold for the plan's period, counted without any code that the demo itself uses."""

    readings: int
    hours: int
    wettest_hour_mm: float


def count_inputs(plan: DemoPlan) -> InputCounts:
    """Count the input files' rows in the period: every SCADA column but the time and the label, rain, temperature."""
    first, last = plan.start, plan.end
    readings = hours = 0
    with gzip.open(ctown.SCADA_CSV, "rt", newline="") as file:
        lines = csv.reader(file)
        header = next(lines)
        columns = len(header) - 1 - ("ATT_FLAG" in header)
        for line in lines:
            at = datetime.strptime(line[0], "%d/%m/%y %H").replace(tzinfo=UTC)
            if first <= at < last:
                readings += columns
                hours += 1
    wettest_mm = 0.0
    with gzip.open(ctown.WEATHER_CSV, "rt", newline="") as file:
        for record in csv.DictReader(file):
            if first <= datetime.fromisoformat(record["observed_at"]) < last:
                readings += 2
                wettest_mm = max(wettest_mm, float(record["rain_mm"]))
    return InputCounts(readings, hours, wettest_mm)


def turn_line(outcome: CycleOutcome) -> str:
    """Describe one turn in a line for the terminal."""
    parts = [f"{outcome.now:%Y-%m-%d %H:%M}Z"]
    for run in outcome.runs:
        if run.status is RunStatus.FAILED:
            parts.append(f"{run.kind} FAILED: {run.cause}")
        elif run.supply is not None:
            nodes = {outage.node_id for outage in run.supply.outages}
            ahead_h = (run.supply.valid_at[-1] - run.supply.valid_at[0]).total_seconds() / 3600
            parts.append(f"supply {len(nodes)} junctions short in {ahead_h:.0f} h ({run.wall_s:.2f} s)")
        elif run.drainage is not None:
            members = f"{len(run.drainage.members_done)} members"
            failed = f", {len(run.drainage.members_failed)} failed" if run.drainage.members_failed else ""
            worst = max((node.probability or 0.0 for node in run.drainage.nodes), default=0.0)
            parts.append(f"drainage {members}{failed}, flood probability up to {worst:.0%} ({run.wall_s:.2f} s)")
    parts += [f"opened {i.kind}: {i.cause}" for i in outcome.incidents if i.opened_at == outcome.now]
    parts += [f"closed {i.kind}, open since {i.opened_at:%d %H:%M}Z" for i in outcome.incidents if i.closed_at]
    return " | ".join(parts)


def event_line(plan: DemoPlan) -> str:
    """Say what is injected, so that nobody takes it for a published event."""
    if plan.event == "none":
        return "No event is injected."
    return (
        f"Injected event: all pumps of station {period.TRIP_STATION} trip at {period.TRIP_AT:%Y-%m-%d %H:%M}Z and are "
        f"repaired at {period.REPAIRED_AT:%Y-%m-%d %H:%M}Z. This is not part of the published record."
    )


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Describe the summary for a person."""
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in summary.items() if name != "checks"]
    return lines + [f"{'ok   ' if ok else 'FALSE'} {name.replace('_', ' ')}" for name, ok in summary["checks"].items()]
