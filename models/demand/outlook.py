"""The demand of every district in the hours after an origin, as well as its inflows allow.

A district's forecast stands on the best rung that its past reaches, and says which:

learned: at least LEAST_DAYS of known demand beyond the six weeks that the seasonal mean needs.
seasonal: the mean of the same hour of the last six weeks; where none of them is known, that of the same hour of the
    day in the last four weeks.
nothing: no hour of the last six weeks is known. The forecast is not known either.

Everything is counted on the wall clock, by which people live, but for bursts (`timers`). Inflows at or after the origin
are cut off first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import numpy as np

from models.demand.learned import Lesson, learn_mean, learn_quantiles
from models.demand.samples import HORIZON_H, LEAST_PAST_H, Past, network_mean, without_outliers
from models.demand.seasonal import mean_of_weeks, usual
from models.demand.surroundings import Booleans, Floats, Integers, Surroundings, WallClock, surroundings
from models.demand.timers import put_on_clock
from twin.clock import as_utc, format_time
from twin.errors import InputError
from twin.hourly import HourlySeries, epoch_hour

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_DAY_H = 24
_EPOCH = date(1970, 1, 1)
_CENTRAL_EUROPEAN_H = 1


class Rung(StrEnum):
    """What a district's forecast stands on, best first."""

    LEARNED = "learned"
    SEASONAL = "seasonal"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """A district's demand in the unit of its inflows, one value for each hour from the origin on (hours).

    `quantiles` by their level; none were asked for, or the rung knows none: empty. `four_weeks` is the baseline to
    beat, the mean of the same hour of the last four weeks.
    """

    district: str
    rung: Rung
    demand: Floats
    quantiles: Mapping[float, Floats]
    four_weeks: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """All that is known at an origin, on the wall clock's hours; `at` are those of the hours ahead.

    `inflows` are as they came, `demands` without what cannot be demand (hours, districts).
    """

    around: Surroundings
    inflows: Floats
    demands: Floats
    network: Floats
    scales: Floats
    origin: int
    at: Integers


def look_ahead(
    inflows: HourlySeries,
    calendar: HourlySeries,
    weather: HourlySeries | None,
    origin: datetime,
    *,
    hours: int = HORIZON_H,
    levels: Sequence[float] = (),
) -> Iterator[Outlook]:
    """Forecast district after district.

    Args:
        inflows: One column a district; what lies at or after the origin is not looked at.
        calendar: Column Holiday (0/1), and CEST (0/1) unless its times are written in local time with their offset;
            from the first inflow to the last hour ahead. A day more tells whether the last day precedes a holiday.
        weather: Observed or forecast; temperature and rain by these names, all others as they are.
        origin: The first hour ahead.
        hours: How many, at most a week.
        levels: The quantiles to learn, each within 0 and 1.

    Raises:
        InputError: If there is no inflow before the origin, or the calendar has gaps.
        ConfigError: If scikit-learn is not installed.
    """
    if not 1 <= hours <= HORIZON_H:
        raise InputError(f"{hours} hours ahead: at least 1 and at most {HORIZON_H}, a week, can be forecast")
    known = _known(inflows, calendar, weather, as_utc(origin), hours)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        yield from threads.map(lambda named: _outlook(named[1], known, named[0], levels), enumerate(inflows.columns))


def _known(
    inflows: HourlySeries, calendar: HourlySeries, weather: HourlySeries | None, origin: datetime, hours: int
) -> _Known:
    before = epoch_hour(origin) - epoch_hour(inflows.first)
    if before <= 0:
        raise InputError(f"no inflow is known before {format_time(origin)}: the first is {format_time(inflows.first)}")
    clock, is_holiday = _days(calendar, inflows.first, before + hours)
    end = inflows.first + timedelta(hours=len(clock.clock_h))
    position = int(clock.clock_h[before])
    past = inflows.between(inflows.first, origin).between(inflows.first, end)
    observed = np.stack([clock.put(v)[:position] for v in past.columns.values()], axis=1)
    timed = [put_on_clock(clock, v, before)[:position] for v in past.columns.values()]
    demands = np.stack([without_outliers(values) for values in timed], axis=1)
    network, scales = network_mean(demands)
    around = _weather(clock, is_holiday, weather and weather.between(inflows.first, end))
    ahead = _ahead(clock.clock_h[before : before + hours] - position)
    return _Known(around, observed, demands, network, scales, position, ahead)


def _days(calendar: HourlySeries, first: datetime, hours: int) -> tuple[WallClock, Booleans]:
    """Return the wall clock and the holidays of `hours` hours and of eight days more: those of the week ahead that
    nobody asked for and the day after it, ordinary days as far as the calendar does not know them.
    """
    days = calendar.between(first, first + timedelta(hours=hours + HORIZON_H + _DAY_H))
    if "Holiday" not in days.columns:
        raise InputError("the calendar has no column Holiday (0/1)")
    summer, holiday = days.columns.get("CEST"), days.columns["Holiday"]
    ahead_of_utc = days.offset_h if summer is None else _CENTRAL_EUROPEAN_H + summer
    unknown = ~np.isfinite(ahead_of_utc) | ~np.isfinite(holiday)
    known = int(np.argmax(unknown)) if unknown.any() else len(unknown)
    if known < hours:
        raise InputError(
            f"the calendar says nothing of {format_time(first + timedelta(hours=known))}: it must reach from the first "
            f"inflow, {format_time(first)}, to the last hour ahead, {format_time(first + timedelta(hours=hours - 1))}"
        )
    offset = np.where(np.arange(len(ahead_of_utc)) < known, ahead_of_utc, ahead_of_utc[known - 1])
    on_clock = np.floor(epoch_hour(first) + np.arange(len(offset)) + offset).astype(np.int64)
    midnight = on_clock[0] // _DAY_H * _DAY_H
    clock = WallClock(on_clock - midnight, _EPOCH + timedelta(hours=int(midnight)))
    return clock, (np.arange(len(offset)) < known) & (holiday > 0)


def _weather(clock: WallClock, is_holiday: Booleans, weather: HourlySeries | None) -> Surroundings:
    by_name = {} if weather is None else {name.lower(): values for name, values in weather.columns.items()}
    return surroundings(
        clock,
        is_holiday,
        temperature=by_name.pop("temperature", None),
        rain=by_name.pop("rain", None),
        others=by_name,
    )


def _ahead(hours_on_clock: Integers) -> Integers:
    """Return which hour ahead each is. The week in which summer time begins ends an hour later on the clock: the hour
    after the last that is forecast is taken to be that of the day before.
    """
    return np.where(hours_on_clock >= HORIZON_H, hours_on_clock - _DAY_H, hours_on_clock)


def _outlook(district: str, known: _Known, k: int, levels: Sequence[float]) -> Outlook:
    demand = known.demands[:, k]
    seasonal = usual(demand)
    expected, quantiles, rung = seasonal, {}, Rung.SEASONAL if np.isfinite(seasonal).any() else Rung.NOTHING
    if known.origin > LEAST_PAST_H and rung is not Rung.NOTHING:
        lesson = Lesson.of(Past.of(demand, known.network * known.scales[k]), known.around, known.origin)
        if lesson.is_enough:
            rung = Rung.LEARNED
            base = np.where(np.isfinite(lesson.seasonal), lesson.seasonal, seasonal)
            expected = np.maximum(base + learn_mean(lesson), 0.0)
            quantiles = {level: np.maximum(base + q, 0.0) for level, q in learn_quantiles(lesson, levels).items()}
    return Outlook(
        district,
        rung,
        expected[known.at],
        {level: values[known.at] for level, values in quantiles.items()},
        mean_of_weeks(known.inflows[:, k], 4)[known.at],
    )
