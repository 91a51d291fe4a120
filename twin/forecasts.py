"""Forecasts: of the weather, of supply and of drainage. Each says when it was issued, for when, and what it rests on.

All of them are frozen records of plain values, so that they can be archived as issued and replayed as known then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from twin.mismatch import Mismatch


class Rung(StrEnum):
    """The rung of the weather ladder that a forecast stands on, best first."""

    ENSEMBLE = "ensemble"
    DETERMINISTIC = "deterministic"
    LAST_GOOD = "last_good"
    CLIMATOLOGY = "climatology"


@dataclass(frozen=True, slots=True)
class WeatherMember:
    """One possible future: rain per interval and temperature. None is an unknown step, never zero."""

    member: str
    rain_mm: tuple[float | None, ...]
    temperature_c: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class WeatherEnsemble:
    """A weather forecast for one gage (`"*"`: for every gage) on a regular grid of intervals.

    Step i covers [valid_from + i * interval_s, valid_from + (i + 1) * interval_s).
    `issued_at` is None where the provider states none; `available_at` is when h2twin got hold of it.
    `causes` says in words why each better rung of the weather ladder was not used.
    """

    source: str
    issued_at: datetime | None
    available_at: datetime
    gage_id: str
    valid_from: datetime
    interval_s: int
    members: tuple[WeatherMember, ...]
    rung: Rung = Rung.ENSEMBLE
    synthetic: bool = False
    attribution: str = ""
    causes: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """The number of intervals of the longest member."""
        return max((len(member.rain_mm) for member in self.members), default=0)

    @property
    def valid_to(self) -> datetime:
        """The end of the last interval."""
        return self.valid_from + timedelta(seconds=self.steps * self.interval_s)


class RunKind(StrEnum):
    """Which model a run was of."""

    SUPPLY = "supply"
    DRAINAGE = "drainage"


class RunStatus(StrEnum):
    """How a run ended."""

    OK = "ok"
    INSUFFICIENT = "insufficient"  # too few members to state probabilities
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a forecast rests on: enough to repeat it, and to judge it.

    `state_basis` lists in words what the state at T0 was taken from (and what was missing).
    """

    model_id: str
    model_hash: str
    engine: str
    state_at: datetime | None = None
    state_basis: tuple[str, ...] = ()
    weather_source: str = ""
    weather_rung: Rung | None = None
    weather_issued_at: datetime | None = None
    weather_available_at: datetime | None = None
    continuity_error_pct: float | None = None
    inputs_hash: str = ""
    warnings: tuple[str, ...] = ()
    synthetic: bool = False


class ShortageKind(StrEnum):
    """Why a junction counts as out of supply. Connectivity is decided first: pipes stay full in EPANET."""

    NO_SOURCE = "no_source"
    LOW_PRESSURE = "low_pressure"
    DEMAND_UNMET = "demand_unmet"


@dataclass(frozen=True, slots=True)
class PredictedOutage:
    """A junction that will be out of supply from `starts_at` to `ends_at` (None: beyond the horizon).

    `cause_key` is the stable name of the one cause (for instance `tank_empty:T7`), `cause` says it in words with
    times, for a person.

    `probability` is the share of the ensemble's members in which it happens, None without enough members. When it
    begins and how long it lasts in these members: the 10th and the 90th percentile (a duration None: beyond the
    horizon). What the members do not vary (the model itself, elements that fail) is not in any of them.
    """

    node_id: str
    starts_at: datetime
    ends_at: datetime | None
    shortage: ShortageKind
    cause_key: str
    cause: str
    min_pressure_m: float
    delivered_share: float
    probability: float | None = None
    starts_p10_at: datetime | None = None
    starts_p90_at: datetime | None = None
    duration_p10_s: float | None = None
    duration_p90_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """When a tank reaches a limit: with which probability within the horizon, and the 10th, 50th and 90th percentile
    over all members; None lies beyond the horizon.
    """

    probability: float
    p10_at: datetime | None
    p50_at: datetime | None
    p90_at: datetime | None


@dataclass(frozen=True, slots=True)
class TankOutlook:
    """A tank's level now, when it will be empty or full (None: not within the horizon), and its level per step.

    `measured` is False where `level_m` is no fresh trusted measurement but what the model file says. What the
    ensemble's members say: when it is empty or full, and the 10th and 90th percentile of its level per step (None and
    empty without enough members).
    """

    tank_id: str
    level_m: float
    min_level_m: float
    max_level_m: float
    empty_at: datetime | None
    full_at: datetime | None
    level_series_m: tuple[float, ...] = ()
    measured: bool = True
    empty: Reach | None = None
    full: Reach | None = None
    level_p10_m: tuple[float, ...] = ()
    level_p90_m: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PumpOutlook:
    """What a pump will do and use over the horizon.

    `kwh_m3` is the energy per cubic metre pumped, `standardised_kwh_m3_100m` per cubic metre lifted by 100 m (IWA
    Ph5), both None where nothing is; `cost` is in the model's currency, None where the model has no price. The 10th
    and 90th percentile of the energy are over the members, None without enough of them.
    """

    pump_id: str
    running_h: float
    volume_m3: float
    energy_kwh: float
    kwh_m3: float | None
    standardised_kwh_m3_100m: float | None
    cost: float | None
    energy_p10_kwh: float | None = None
    energy_p90_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class NodeQuality:
    """The worst quality of the water at a node within the horizon, and when."""

    node_id: str
    worst: float
    worst_at: datetime


@dataclass(frozen=True, slots=True)
class QualityOutlook:
    """Where consumers get the oldest water (`parameter` is `age`), or the least of a chemical, as the model has it."""

    parameter: str
    unit: str
    nodes: tuple[NodeQuality, ...]


@dataclass(frozen=True, slots=True)
class ForecastSeries:
    """Predicted values (SI) of one quantity of one element, one per `valid_at` of the forecast."""

    element_type: str
    element_id: str
    quantity: str
    values: tuple[float, ...]


class StateRung(StrEnum):
    """The rungs that a quantity of the supply state may stand on, best first; each quantity has some of them."""

    MEASURED = "measured"
    HELD = "held"  # the last measured value, too old to count as measured: taken for want of a better one
    HISTORY = "history"  # demand: from the same hours of past weeks or days, and the last hour
    SCALED = "scaled"  # demand: the model's patterns at the observed scale of the district
    NETWORK = "network"  # demand: the model's patterns at the scale of the whole network
    CONTROL = "control"  # a pump or valve: what its control calls for
    MODEL = "model"  # what the model's file says


@dataclass(frozen=True, slots=True)
class StateRest:
    """What one quantity of the state at T0 rests on: the level of a tank, the status of a link, a district's demand."""

    quantity: str
    element_id: str
    rung: StateRung


@dataclass(frozen=True, slots=True)
class FailedMember:
    """A member that gave no answer, and why."""

    member: str
    reason: str


@dataclass(frozen=True, slots=True)
class SupplyForecast:
    """The supply network from T0 on: outages, tanks, and the values at the sensors' places.

    `valid_at` are the forecast's moments; every series and tank level has one value for each.

    `measured` names the tanks, pumps and valves whose state at T0 was measured. `assumed` names those that have a
    sensor but no fresh trusted value: what they do is the model's guess. `assumed_area` are the nodes whose supply
    could rest on that guess (empty although something is assumed: it is not known which, so all of them). Elements
    without any sensor are in neither.

    Everything is what the median forecast of demand leads to; `members_done` counts the other courses of demand that
    were run beside it. `outages` are those of the median course and those that most members have; `possible` those
    that only few have.
    """

    run_id: str
    issued_at: datetime
    valid_at: tuple[datetime, ...]
    provenance: Provenance
    required_pressure_m: float
    outages: tuple[PredictedOutage, ...] = ()
    tanks: tuple[TankOutlook, ...] = ()
    series: tuple[ForecastSeries, ...] = ()
    demand_m3: float = 0.0
    delivered_m3: float = 0.0
    measured: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    assumed_area: tuple[str, ...] = ()
    mismatch: Mismatch | None = None
    """What the residuals of the last hours say is different in the network; None while none lies off."""
    rests: tuple[StateRest, ...] = ()
    members_done: int = 0
    members_failed: tuple[FailedMember, ...] = ()
    possible: tuple[PredictedOutage, ...] = ()
    pumps: tuple[PumpOutlook, ...] = ()
    quality: QualityOutlook | None = None

    def resting_on_assumption(self, node_ids: Iterable[str]) -> frozenset[str]:
        """Return those of the nodes whose supply could rest on what is merely assumed."""
        nodes = frozenset(node_ids)
        if not self.assumed:
            return frozenset()
        return nodes & frozenset(self.assumed_area) if self.assumed_area else nodes


@dataclass(frozen=True, slots=True)
class NodeFlood:
    """What the ensemble says about one drainage node.

    `probability` is flooding members over done members, None where too few members ended; percentiles are over all
    done members, dry ones as 0; `onset_median` over flooding members only.
    """

    node_id: str
    probability: float | None
    onset_median: datetime | None
    depth_p50_m: float
    depth_p90_m: float
    volume_p50_m3: float
    volume_p90_m3: float

    def lead_time_s(self, issued_at: datetime) -> float | None:
        """Return the seconds from `issued_at` to the median onset (0 once it has passed); None without an onset."""
        if self.onset_median is None:
            return None
        return max(0.0, (self.onset_median - issued_at).total_seconds())


@dataclass(frozen=True, slots=True)
class DrainageForecast:
    """The drainage network from T0 on, over the members of a weather ensemble."""

    run_id: str
    issued_at: datetime
    valid_from: datetime
    valid_to: datetime
    status: RunStatus
    provenance: Provenance
    nodes: tuple[NodeFlood, ...] = ()
    members_done: tuple[str, ...] = ()
    members_failed: tuple[FailedMember, ...] = ()
    rain_p50_mm: float = 0.0
    rain_max_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a forecast: what came of it, or why nothing did. Failed runs are kept, never hidden."""

    run_id: str
    kind: RunKind
    issued_at: datetime
    status: RunStatus
    wall_s: float
    cause: str = ""
    supply: SupplyForecast | None = None
    drainage: DrainageForecast | None = None


@dataclass(frozen=True, slots=True)
class DrainageState:
    """The drainage engine's saved state at `valid_at`.

    `key` names what the bytes belong to (ordered ids, options, engine version): a state of another key is refused.
    """

    model_id: str
    key: str
    valid_at: datetime
    content: bytes
    available_at: datetime | None = None
    """The arrival of the newest rain reading in it: rain that arrived later is not in it. None while it is not kept."""
    continuity_error_pct: float | None = None
    rain_mm: float = 0.0
    cold: bool = False
    flooded_m3: Mapping[str, float] = field(default_factory=dict)
    """Water that left over the rim of each node during the update run that made this state (an observation)."""
