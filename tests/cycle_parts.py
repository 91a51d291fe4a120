"""A cycle on real SQLite stores with fake models and weather that write down what they were given."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from twin.clock import ReplayClock
from twin.cycle import Cycle, CycleOutcome, CycleRules
from twin.detection import Detector
from twin.errors import InputError
from twin.forecasts import (
    DrainageForecast,
    DrainageState,
    NodeFlood,
    PredictedOutage,
    Provenance,
    Rung,
    RunStatus,
    ShortageKind,
    SupplyForecast,
    WeatherEnsemble,
    WeatherMember,
)
from twin.incidents import Incident
from twin.network import Network, NetworkKind
from twin.noticeboard import Noticeboard
from twin.notices import NoticeState, NoticeStatus, NoticeText
from twin.ports import ObservedRain, ReadingStore, Registry, SupplyRequest
from twin.readings import ElementType, Quality, Reading, Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
EMPTY = Network(NetworkKind.SUPPLY, {}, {})


def hour(value: float) -> datetime:
    """Return the moment so many hours after T0."""
    return T0 + timedelta(hours=value)


@dataclass
class FakeSupply:
    """Predicts the outages it is told to, or raises what it is told to."""

    outages: tuple[PredictedOutage, ...] = ()
    failure: Exception | None = None
    requests: list[SupplyRequest] = field(default_factory=list)
    meanwhile: Callable[[], None] | None = None
    demand_m3: float = 100.0
    network: Network = EMPTY

    def run(self, request: SupplyRequest) -> SupplyForecast:
        self.requests.append(request)
        if self.meanwhile is not None:
            self.meanwhile()
        if self.failure is not None:
            raise self.failure
        valid_at = (request.issued_at, request.issued_at + HOUR)
        basis = Provenance("net", "ab" * 32, "fake engine")
        return SupplyForecast(
            request.run_id, request.issued_at, valid_at, basis, 10.0, self.outages, demand_m3=self.demand_m3
        )


@dataclass(frozen=True)
class Applied:
    """One update: from when to when, with which rain, from which state."""

    start: datetime
    end: datetime
    rain: tuple[ObservedRain, ...]
    before: DrainageState | None

    @property
    def mm(self) -> float:
        """The rain that an engine applies: whole intervals, and of cut ones the share by time."""
        return sum(_mm_between(series, self.start, self.end) for series in self.rain)


def _mm_between(series: ObservedRain, start: datetime, end: datetime) -> float:
    total = 0.0
    for index, mm in enumerate(series.rain_mm):
        begins = series.valid_from + timedelta(seconds=index * series.interval_s)
        ends = begins + timedelta(seconds=series.interval_s)
        overlap_s = (min(ends, end) - max(begins, start)).total_seconds()
        total += mm * max(0.0, overlap_s) / series.interval_s
    return total


@dataclass
class FakeDrainage:
    """Keeps in its state's bytes which updates made it; floods where it is told to."""

    probability: float = 0.0
    failure: Exception | None = None
    status: RunStatus = RunStatus.OK
    rung: Rung = Rung.ENSEMBLE
    state_key: str = "key-1"
    model_id: str = "sewers"
    network: Network = EMPTY
    chains: dict[bytes, tuple[Applied, ...]] = field(default_factory=dict)
    forecasts: list[tuple[DrainageState, WeatherEnsemble]] = field(default_factory=list)

    def update(
        self, state: DrainageState | None, *, start: datetime, end: datetime, rain: Sequence[ObservedRain]
    ) -> DrainageState:
        if self.failure is not None:
            raise self.failure
        assert start < end
        assert state is None or (state.valid_at == start and state.key == self.state_key)
        for series in rain:
            assert series.valid_from.microsecond == 0, "the engine knows whole seconds"
            assert all(mm >= 0 for mm in series.rain_mm)
        step = Applied(start, end, tuple(rain), state)
        content = f"{len(self.chains)}".encode()
        self.chains[content] = (*(self.chains[state.content] if state else ()), step)
        return DrainageState(self.model_id, self.state_key, end, content, cold=state is None)

    def forecast(
        self, state: DrainageState, ensemble: WeatherEnsemble, *, run_id: str, horizon_s: int
    ) -> DrainageForecast:
        if self.failure is not None:
            raise self.failure
        self.forecasts.append((state, ensemble))
        flood = NodeFlood("M7", self.probability, hour(3), 0.1, 0.4, 10.0, 40.0)
        basis = Provenance(self.model_id, "cd" * 32, "fake engine", weather_rung=self.rung)
        end = state.valid_at + timedelta(seconds=horizon_s)
        return DrainageForecast(run_id, state.valid_at, state.valid_at, end, self.status, basis, (flood,), ("0",))

    def last_chain(self) -> tuple[Applied, ...]:
        """Return the updates that the state of the newest forecast rests on."""
        return self.chains[self.forecasts[-1][0].content]


@dataclass
class FakeWeather:
    """A dry forecast that begins `begins_in` after now."""

    name: str = "fake"
    begins_in: timedelta = timedelta(hours=-24)
    failure: Exception | None = None
    causes: tuple[str, ...] = ()

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        if self.failure is not None:
            raise self.failure
        dry = (WeatherMember("0", (0.0,) * 96),)
        start = now + self.begins_in
        return WeatherEnsemble("fake", now, now, "*", start, 3600, dry, Rung.ENSEMBLE, causes=self.causes)


class PlainWriter:
    """Writes the least that a notice may say, or refuses with what it is told to."""

    failure: InputError | None = None

    def write(self, incident: Incident, *, notice: object, to: NoticeState) -> Mapping[str, NoticeText]:
        if self.failure is not None:
            raise self.failure
        return {"en": NoticeText("headline", incident.cause, "instruction")}


@dataclass
class FakeModels:
    supply_model: FakeSupply | None
    drainage_model: FakeDrainage | None

    def supply(self) -> FakeSupply | None:
        return self.supply_model

    def drainage(self) -> FakeDrainage | None:
        return self.drainage_model


@dataclass
class Town:
    """Everything around one cycle."""

    clock: ReplayClock
    readings: ReadingStore
    registry: Registry
    supply: FakeSupply
    drainage: FakeDrainage
    weather: FakeWeather
    models: FakeModels
    rules: CycleRules
    writer: PlainWriter = field(default_factory=PlainWriter)

    def __post_init__(self) -> None:
        self.cycle = self.new_cycle()

    def new_cycle(self, **changes: Any) -> Cycle:
        """Return a cycle as after a restart."""
        board = Noticeboard(self.registry, writer=self.writer, clock=self.clock, status=NoticeStatus.EXERCISE)
        parts: dict[str, Any] = {
            "clock": self.clock, "readings": self.readings, "registry": self.registry, "noticeboard": board,
            "models": self.models, "weather": self.weather, "rules": self.rules, "detector": Detector(),
        }  # fmt: skip
        return Cycle(**{**parts, **changes})

    def turn(self, at: float) -> CycleOutcome:
        """Turn at so many hours after T0."""
        self.clock.advance_to(hour(at))
        return self.cycle.turn()


@cache
def _fresh_stores() -> Mapping[str, bytes]:
    """Return the files of empty stores: making their tables anew for every example would take most of the time."""
    with tempfile.TemporaryDirectory() as folder:
        SqliteReadings(Path(folder) / "readings.db").close()
        open_registry(f"sqlite:///{folder}/registry.db").close()
        return {path.name: path.read_bytes() for path in Path(folder).glob("*.db")}


@contextmanager
def a_town(folder: Path, *sensors: Sensor) -> Iterator[Town]:
    """Yield a town with its stores in `folder`; those of before if there are some."""
    if not (folder / "registry.db").exists():
        for name, content in _fresh_stores().items():
            (folder / name).write_bytes(content)
    readings = SqliteReadings(folder / "readings.db")
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    registry.upsert_sensors(sensors)
    supply, drainage = FakeSupply(), FakeDrainage()
    models = FakeModels(supply, drainage)
    try:
        yield Town(ReplayClock(T0), readings, registry, supply, drainage, FakeWeather(), models, CycleRules())
    finally:
        readings.close()
        registry.close()


def a_gauge(number: int = 1, every_s: float = 3600.0) -> Sensor:
    gauge = Sensor(f"R{number}", Quantity.RAIN, unit="mm", element_type=ElementType.GAGE, element_id=f"G{number}")
    return replace(gauge, expected_every_s=every_s)


def a_level(sensor_id: str = "L1") -> Sensor:
    level = Sensor(sensor_id, Quantity.LEVEL, unit="m", element_type=ElementType.NODE, element_id="T1")
    return replace(level, expected_every_s=86400.0)


def rain(at: float, mm: float, *, known: float | None = None, gauge: str = "R1", **changes: Any) -> Reading:
    """Return rain that fell up to `at`, known from `known` on (hours after T0)."""
    known_at = hour(at if known is None else known)
    return replace(Reading(gauge, hour(at), known_at, mm, "mm", mm, "mm"), **changes)


def level(at: float, value: float = 3.0, *, known: float | None = None, quality: Quality = Quality.GOOD) -> Reading:
    known_at = hour(at if known is None else known)
    return Reading("L1", hour(at), known_at, value, "m", value, "m", quality)


def an_outage() -> PredictedOutage:
    return PredictedOutage("J1", hour(1), None, ShortageKind.NO_SOURCE, "tank_empty:T1", "T1 empties", 0.0, 0.0)
