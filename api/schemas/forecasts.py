"""Forecasts of supply and drainage, each with what it rests on and how old it is."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from api.freshness import Freshness
from api.schemas.base import Out, PageOut, example
from twin.customer_outlook import CustomerOutage
from twin.customers import Sensitivity
from twin.forecasts import DrainageForecast, Run, Rung, RunKind, RunStatus, ShortageKind

_PROVENANCE: dict[str, Any] = {
    "model_id": "city",
    "model_hash": "9f86d081884c7d65",
    "engine": "EPANET 2.3.5",
    "state_at": "2026-01-01T00:00:00Z",
    "state_basis": ["tank T1 level 3.20 m from sensor L1"],
    "weather_source": "",
    "weather_rung": None,
    "weather_issued_at": None,
    "weather_available_at": None,
    "continuity_error_pct": None,
    "inputs_hash": "0d6c15b0f00a08",
    "warnings": [],
    "synthetic": False,
}
_RUN: dict[str, Any] = {
    "run_id": "supply-20260101T000000Z",
    "kind": "supply",
    "issued_at": "2026-01-01T00:00:00Z",
    "status": "ok",
    "wall_s": 2.4,
    "cause": "",
}
_FRESH: dict[str, Any] = {"stale": False, "age_s": 120.0, "stale_because": ""}


class ProvenanceOut(Out):
    """What a forecast rests on."""

    model_id: str
    model_hash: str
    engine: str
    state_at: datetime | None
    state_basis: list[str]
    weather_source: str
    weather_rung: Rung | None
    weather_issued_at: datetime | None
    weather_available_at: datetime | None
    continuity_error_pct: float | None
    inputs_hash: str
    warnings: list[str]
    synthetic: bool


class RunOut(Out):
    """One attempt at a forecast; `cause` says why a failed one failed."""

    model_config = example(_RUN)

    run_id: str
    kind: RunKind
    issued_at: datetime
    status: RunStatus
    wall_s: float
    cause: str


class PredictedOutageOut(Out):
    """A junction that will be out of supply; `ends_at` null lies beyond the horizon.

    `probability` is the share of members that have it; when it starts and how long it lasts in these: the 10th and 90th
    percentile (a duration null: beyond the horizon). All of them null: too few members.
    """

    node_id: str
    starts_at: datetime
    ends_at: datetime | None
    shortage: ShortageKind
    cause_key: str
    cause: str
    min_pressure_m: float
    delivered_share: float
    probability: float | None
    starts_p10_at: datetime | None
    starts_p90_at: datetime | None
    duration_p10_s: float | None
    duration_p90_s: float | None


class ReachOut(Out):
    """When a tank reaches a limit, over the members: a time null lies beyond the horizon."""

    probability: float
    p10_at: datetime | None
    p50_at: datetime | None
    p90_at: datetime | None


class TankOutlookOut(Out):
    """A tank's level now (`measured` false: a guess), at each `valid_at`, and when it will be empty or full.

    `empty` and `full` say the same over the members, `level_p10_m` and `level_p90_m` their levels (null and empty: too
    few members).
    """

    tank_id: str
    level_m: float
    min_level_m: float
    max_level_m: float
    empty_at: datetime | None
    full_at: datetime | None
    level_series_m: list[float]
    measured: bool
    empty: ReachOut | None
    full: ReachOut | None
    level_p10_m: list[float]
    level_p90_m: list[float]


class PumpOutlookOut(Out):
    """What a pump will do and use; `cost` in the currency of the model's price, null without one."""

    pump_id: str
    running_h: float
    volume_m3: float
    energy_kwh: float
    kwh_m3: float | None
    standardised_kwh_m3_100m: float | None
    cost: float | None
    energy_p10_kwh: float | None
    energy_p90_kwh: float | None


class NodeQualityOut(Out):
    """The worst quality of the water at a node within the horizon, and when."""

    node_id: str
    worst: float
    worst_at: datetime


class QualityOutlookOut(Out):
    """Where consumers get the oldest water (`parameter` is `age`), or the least of a chemical, as the model has it."""

    parameter: str
    unit: str
    nodes: list[NodeQualityOut]


class ForecastSeriesOut(Out):
    """Predicted values in SI, one per `valid_at`."""

    element_type: str
    element_id: str
    quantity: str
    values: list[float]


class FailedMemberOut(Out):
    """A member that gave no answer, and why."""

    member: str
    reason: str


class SupplyForecastOut(Out):
    """The supply network from `issued_at` on.

    `measured` are the tanks, pumps and valves whose state was measured, `assumed` those whose sensors say nothing now.
    All is what the median course of demand leads to; `outages` are those that it or most members have, `possible`
    those that only few have.
    """

    valid_at: list[datetime]
    provenance: ProvenanceOut
    required_pressure_m: float
    outages: list[PredictedOutageOut]
    tanks: list[TankOutlookOut]
    series: list[ForecastSeriesOut]
    demand_m3: float
    delivered_m3: float
    measured: list[str]
    assumed: list[str]
    members_done: int
    members_failed: list[FailedMemberOut]
    possible: list[PredictedOutageOut]
    pumps: list[PumpOutlookOut]
    quality: QualityOutlookOut | None


class CustomerOutageOut(Out):
    """What a forecast says about one connection; the other fields as of an outage."""

    model_config = example(
        {
            "connection_id": "K-0001",
            "node_id": "J12",
            "sensitive": "none",
            "probability": 0.84,
            "starts_at": "2026-01-01T01:00:00Z",
            "starts_p10_at": "2026-01-01T00:00:00Z",
            "starts_p90_at": "2026-01-01T01:00:00Z",
            "ends_at": None,
            "duration_p10_s": 3600.0,
            "duration_p90_s": None,
            "shortage": "no_source",
            "cause_key": "tank_empty:T1",
            "cause": "tank T1 is empty from 01:00",
        }
    )

    connection_id: str
    node_id: str
    sensitive: Sensitivity
    probability: float | None
    starts_at: datetime
    starts_p10_at: datetime | None
    starts_p90_at: datetime | None
    ends_at: datetime | None
    duration_p10_s: float | None
    duration_p90_s: float | None
    shortage: ShortageKind
    cause_key: str
    cause: str

    @classmethod
    def of(cls, found: CustomerOutage) -> CustomerOutageOut:
        """Show what was found about a connection."""
        outage, customer = asdict(found.outage), found.customer
        shown = {name: outage[name] for name in cls.model_fields if name in outage}
        return cls(connection_id=customer.connection_id, sensitive=customer.sensitive, **shown)


class CustomerOutagesOut(PageOut[CustomerOutageOut]):
    """What a run says about customers, by connection and time. `stale` true: treat it as history."""

    run_id: str
    issued_at: datetime
    stale: bool
    members_done: int


class NodeFloodOut(Out):
    """What the ensemble says about one manhole; `probability` null: too few members to state one.

    `lead_time_s` counts from the run's `issued_at` to the median onset (0 once it has passed, null without an onset).
    """

    node_id: str
    probability: float | None
    onset_median: datetime | None
    lead_time_s: float | None
    depth_p50_m: float
    depth_p90_m: float
    volume_p50_m3: float
    volume_p90_m3: float


class DrainageForecastOut(Out):
    """The drainage network from `valid_from` to `valid_to`."""

    valid_from: datetime
    valid_to: datetime
    provenance: ProvenanceOut
    nodes: list[NodeFloodOut]
    members_done: list[str]
    members_failed: list[FailedMemberOut]
    rain_p50_mm: float
    rain_max_mm: float


class SupplyRunOut(RunOut):
    """A run of the supply model. `stale` true: treat it as history and look at `stale_because`."""

    model_config = example(
        {
            **_RUN,
            **_FRESH,
            "forecast": {
                "valid_at": ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"],
                "provenance": _PROVENANCE,
                "required_pressure_m": 10.0,
                "outages": [
                    {
                        "node_id": "J12",
                        "starts_at": "2026-01-01T01:00:00Z",
                        "ends_at": None,
                        "shortage": "no_source",
                        "cause_key": "tank_empty:T1",
                        "cause": "tank T1 is empty from 01:00",
                        "min_pressure_m": 0.0,
                        "delivered_share": 0.0,
                        "probability": 0.84,
                        "starts_p10_at": "2026-01-01T00:00:00Z",
                        "starts_p90_at": "2026-01-01T01:00:00Z",
                        "duration_p10_s": 3600.0,
                        "duration_p90_s": None,
                    }
                ],
                "tanks": [
                    {
                        "tank_id": "T1",
                        "level_m": 0.4,
                        "min_level_m": 0.0,
                        "max_level_m": 5.0,
                        "empty_at": "2026-01-01T01:00:00Z",
                        "full_at": None,
                        "level_series_m": [0.4, 0.0],
                        "measured": True,
                        "empty": {
                            "probability": 0.84,
                            "p10_at": "2026-01-01T00:48:00Z",
                            "p50_at": "2026-01-01T01:00:00Z",
                            "p90_at": None,
                        },
                        "full": {"probability": 0.0, "p10_at": None, "p50_at": None, "p90_at": None},
                        "level_p10_m": [0.4, 0.0],
                        "level_p90_m": [0.4, 0.1],
                    }
                ],
                "series": [
                    {"element_type": "node", "element_id": "J12", "quantity": "pressure", "values": [31.0, 0.0]}
                ],
                "demand_m3": 110.0,
                "delivered_m3": 92.5,
                "measured": ["T1"],
                "assumed": [],
                "members_done": 50,
                "members_failed": [],
                "possible": [],
                "pumps": [
                    {
                        "pump_id": "PU1",
                        "running_h": 1.0,
                        "volume_m3": 90.0,
                        "energy_kwh": 14.2,
                        "kwh_m3": 0.158,
                        "standardised_kwh_m3_100m": 0.389,
                        "cost": 1.7,
                        "energy_p10_kwh": 13.9,
                        "energy_p90_kwh": 14.6,
                    }
                ],
                "quality": {
                    "parameter": "Chlorine",
                    "unit": "mg/L",
                    "nodes": [{"node_id": "J12", "worst": 0.21, "worst_at": "2026-01-01T01:00:00Z"}],
                },
            },
        }
    )

    stale: bool
    age_s: float
    stale_because: str
    forecast: SupplyForecastOut | None


class DrainageRunOut(RunOut):
    """A run of the drainage model. `stale` true: treat it as history and look at `stale_because`."""

    model_config = example(
        {
            **_RUN,
            "run_id": "drainage-20260101T000000Z",
            "kind": "drainage",
            **_FRESH,
            "forecast": {
                "valid_from": "2026-01-01T00:00:00Z",
                "valid_to": "2026-01-02T00:00:00Z",
                "provenance": {
                    **_PROVENANCE,
                    "engine": "SWMM 5.2.4",
                    "weather_source": "open_meteo",
                    "weather_rung": "ensemble",
                    "weather_available_at": "2026-01-01T00:00:00Z",
                    "continuity_error_pct": 0.4,
                },
                "nodes": [
                    {
                        "node_id": "M7",
                        "probability": 0.35,
                        "onset_median": "2026-01-01T14:20:00Z",
                        "lead_time_s": 51600.0,
                        "depth_p50_m": 0.6,
                        "depth_p90_m": 1.8,
                        "volume_p50_m3": 0.0,
                        "volume_p90_m3": 41.0,
                    }
                ],
                "members_done": ["0", "1", "2"],
                "members_failed": [{"member": "3", "reason": "step 4 of the rain is unknown"}],
                "rain_p50_mm": 12.0,
                "rain_max_mm": 44.5,
            },
        }
    )

    stale: bool
    age_s: float
    stale_because: str
    forecast: DrainageForecastOut | None


def supply_run_out(run: Run, freshness: Freshness) -> SupplyRunOut:
    """Show a run of the supply model."""
    return SupplyRunOut(
        **RunOut.model_validate(run).model_dump(),
        stale=freshness.stale,
        age_s=freshness.age_s,
        stale_because=freshness.because,
        forecast=SupplyForecastOut.model_validate(run.supply) if run.supply else None,
    )


def drainage_run_out(run: Run, freshness: Freshness) -> DrainageRunOut:
    """Show a run of the drainage model."""
    return DrainageRunOut(
        **RunOut.model_validate(run).model_dump(),
        stale=freshness.stale,
        age_s=freshness.age_s,
        stale_because=freshness.because,
        forecast=_drainage_forecast_out(run.drainage, run.issued_at) if run.drainage else None,
    )


def _drainage_forecast_out(forecast: DrainageForecast, issued_at: datetime) -> DrainageForecastOut:
    plain = {field.name: getattr(forecast, field.name) for field in fields(forecast)}
    nodes = [{**asdict(node), "lead_time_s": node.lead_time_s(issued_at)} for node in forecast.nodes]
    return DrainageForecastOut.model_validate({**plain, "nodes": nodes})
