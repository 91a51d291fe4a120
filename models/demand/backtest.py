"""What the demand forecast would have been worth: forecasts of past origins beside what came, and beside a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.demand.outlook import Rung, look_ahead
from models.demand.scores import Scores, pinball, score, share_below
from twin.hourly import HourlySeries


@dataclass(frozen=True, slots=True)
class BackTest:
    """A district's forecast of one origin against what came, in the unit of its inflows.

    `baseline` is the mean of the last four weeks. `share_below` and `pinball` are of the quantiles that were asked for.
    """

    origin: datetime
    district: str
    rung: Rung
    scores: Scores
    baseline: Scores
    share_below: Mapping[float, float]
    pinball: float


def back_test(
    inflows: HourlySeries,
    calendar: HourlySeries,
    weather: HourlySeries | None,
    origins: Sequence[datetime],
    *,
    hours: int,
    levels: Sequence[float] = (),
) -> Iterator[BackTest]:
    """Forecast from each origin what is known by now, district after district. Arguments as of `look_ahead`.

    The weather of the hours ahead is what the table holds of them: observed, if it is a table of observations.
    """
    for origin in origins:
        came = inflows.between(origin, origin + timedelta(hours=hours))
        for outlook in look_ahead(inflows, calendar, weather, origin, hours=hours, levels=levels):
            observed = came.columns[outlook.district]
            yield BackTest(
                origin,
                outlook.district,
                outlook.rung,
                score(outlook.demand, observed),
                score(outlook.four_weeks, observed),
                share_below(outlook.quantiles, observed),
                pinball(outlook.quantiles, observed),
            )
