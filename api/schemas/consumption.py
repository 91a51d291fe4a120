"""Water used: by one meter, and by a district."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, PageOut, example
from twin.consumption import Interval
from twin.readings import Quality


class ConsumptionOut(Out):
    """The water that passed a meter in one interval.

    `volume_m3` is null unless the whole interval is known; `counted_m3` is what is known of it. `coverage` and
    `interpolated` are shares of the interval's time; `interpolated_m3` is what was spread over a gap. `estimated`: in
    part interpolated, or a lower bound since a reset. `bad`: not the whole interval is known.
    """

    model_config = example(
        {
            "start": "2026-01-01T00:00:00Z",
            "end": "2026-01-01T01:00:00Z",
            "volume_m3": 0.182,
            "counted_m3": 0.182,
            "coverage": 1.0,
            "interpolated": 0.0,
            "interpolated_m3": 0.0,
            "quality": "good",
            "reasons": [],
        }
    )

    start: datetime
    end: datetime
    volume_m3: float | None
    counted_m3: float
    coverage: float
    interpolated: float
    interpolated_m3: float
    quality: Quality
    reasons: list[str]


class DistrictDemandOut(Out):
    """What the connections of a district used in one interval.

    `metered_m3` is the sum over the `reporting` connections. It is null when they are less than `least_coverage` of all
    `connections` (`sufficient` is false), and when there are so few that it could point at a person (`withheld` is
    true). `estimated_share` of it is no direct measurement. `scaled_m3`, given when `scaled=true`, is an estimate for
    all connections: those without data are taken for like the others.
    """

    model_config = example(
        {
            "start": "2026-01-01T00:00:00Z",
            "end": "2026-01-01T01:00:00Z",
            "metered_m3": 18.4,
            "mean_flow_m3s": 0.00511,
            "scaled_m3": None,
            "coverage": 0.92,
            "reporting": 184,
            "connections": 200,
            "estimated_share": 0.03,
            "sufficient": True,
            "withheld": False,
        }
    )

    start: datetime
    end: datetime
    metered_m3: float | None
    mean_flow_m3s: float | None
    scaled_m3: float | None
    coverage: float
    reporting: int
    connections: int
    estimated_share: float | None
    sufficient: bool
    withheld: bool


class DemandPageOut(PageOut[DistrictDemandOut]):
    """A page of intervals. `connections_from` says who counted the connections: the network, or only the meters."""

    district: str
    interval: Interval
    least_coverage: float
    connections_from: str
