"""Rain on its way to the drainage engine: dated series, cut to a run's window without losing or making a drop.

The one rule of disaggregation: the rain of an interval falls evenly over that interval. So a part of an interval
gets its share of the millimetres by time, and the parts of any partition add up to the whole. The engine is given
each interval's intensity at the series' own spacing (never resampled), which says the same thing to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from twin.clock import as_utc, format_time
from twin.errors import InputError

EVERY_GAGE = "*"
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class RainSeries:
    """Rain of one gage (`"*"`: of every gage): `rain_mm[i]` fell evenly in the i-th `interval_s` after `valid_from`.

    Raises:
        InputError: If the interval is no whole positive number of seconds, `valid_from` not on a whole second, or a
            value is negative or not finite.
    """

    gage_id: str
    valid_from: datetime
    interval_s: int
    rain_mm: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.interval_s <= 0 or self.interval_s != int(self.interval_s):
            raise InputError(
                f"gage {self.gage_id!r}: an interval of {self.interval_s} s is not a whole positive number"
            )
        if as_utc(self.valid_from).microsecond:
            raise InputError(f"gage {self.gage_id!r}: {format_time(self.valid_from)} is not on a whole second")
        for index, value in enumerate(self.rain_mm):
            if not (math.isfinite(value) and value >= 0):
                at = format_time(self.start_of(index))
                raise InputError(f"gage {self.gage_id!r}: {value!r} mm in the interval from {at} is no amount of rain")

    @property
    def valid_to(self) -> datetime:
        """The end of the last interval."""
        return self.start_of(len(self.rain_mm))

    def start_of(self, index: int) -> datetime:
        """Return the beginning of the interval with this index."""
        return self.valid_from + timedelta(seconds=index * self.interval_s)

    def mm_between(self, start: datetime, end: datetime) -> float:
        """Return the rain (mm) of [start, end): whole intervals, and of cut ones the share by time."""
        return math.fsum(
            self.rain_mm[index] * (self._overlap_s(index, start, end) / self.interval_s)
            for index in self._touching(start, end)
        )

    def intensities(self, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
        """Return (beginning of the interval, mm/h) of every wet interval that [start, end) touches, in order of time.

        An interval cut by `start` keeps its own beginning: the engine then rains its rest.
        """
        per_hour = SECONDS_PER_HOUR / self.interval_s
        return [
            (self.start_of(index), self.rain_mm[index] * per_hour)
            for index in self._touching(start, end)
            if self.rain_mm[index] > 0
        ]

    def _touching(self, start: datetime, end: datetime) -> range:
        step = timedelta(seconds=self.interval_s)
        first = max((start - self.valid_from) // step, 0)
        last = min(-((self.valid_from - end) // step), len(self.rain_mm))
        return range(first, max(first, last))

    def _overlap_s(self, index: int, start: datetime, end: datetime) -> float:
        begins, ends = self.start_of(index), self.start_of(index + 1)
        return max((min(ends, end) - max(begins, start)).total_seconds(), 0.0)


def rain_by_gage(gages: Sequence[str], series: Sequence[RainSeries]) -> dict[str, RainSeries]:
    """Return each gage's series: its own, else that of every gage (`"*"`). As in SWMM, the case of ids is no matter.

    Raises:
        InputError: If a gage has two series, or none (all such gages are named).
    """
    by_id: dict[str, RainSeries] = {}
    for one in series:
        if one.gage_id.casefold() in by_id:
            raise InputError(f"gage {one.gage_id!r} has two rain series; give one per gage")
        by_id[one.gage_id.casefold()] = one
    chosen = {gage: by_id.get(gage.casefold(), by_id.get(EVERY_GAGE)) for gage in gages}
    missing = [gage for gage, one in chosen.items() if one is None]
    if missing:
        raise InputError(
            f"no rain for the model's gages {', '.join(missing)}; rain was given for {', '.join(by_id) or 'none'}"
        )
    return {gage: one for gage, one in chosen.items() if one is not None}


def area_mean_mm(
    rain: Mapping[str, RainSeries], area_of_gage: Mapping[str, float], total_area: float, start: datetime, end: datetime
) -> float:
    """Return the mean rain (mm) of [start, end) over `total_area`, each gage weighted with the area it rains on."""
    if total_area <= 0:
        return 0.0
    return math.fsum(rain[gage].mm_between(start, end) * area for gage, area in area_of_gage.items()) / total_area
