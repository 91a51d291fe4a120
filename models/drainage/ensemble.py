"""Members of a weather ensemble as rain for the engine, and what their runs say together.

A member with an unknown step inside the horizon fails by name: unknown rain is never dry. Members with the same rain
from T0 on share one run, which is exact because their runs would be the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from models.drainage.engine import EngineRun
from models.rainfall import RainSeries
from twin.clock import format_time
from twin.errors import InputError
from twin.forecasts import FailedMember, NodeFlood, WeatherEnsemble, WeatherMember

MIN_MEMBERS = 3


@dataclass(frozen=True, slots=True)
class MemberRain:
    """The rain of the members that can be run, each distinct rain once, and the members that cannot.

    `rain_of[i]` is the index in `distinct` of the rain of `members[i]`.
    """

    members: tuple[str, ...]
    rain_of: tuple[int, ...]
    distinct: tuple[RainSeries, ...]
    failed: tuple[FailedMember, ...]


def member_rain(ensemble: WeatherEnsemble, start: datetime, end: datetime) -> MemberRain:
    """Cut every member to the steps that [start, end) touches; a step that `start` lies in keeps its own beginning.

    Raises:
        InputError: If the forecast begins after `start` (the rain in between is unknown) or two members share an id.
    """
    if ensemble.valid_from > start:
        raise InputError(
            f"the weather forecast begins at {format_time(ensemble.valid_from)}, after the run's start at "
            f"{format_time(start)}: the rain in between is unknown"
        )
    step = timedelta(seconds=ensemble.interval_s)
    first, last = (start - ensemble.valid_from) // step, -((ensemble.valid_from - end) // step)
    begins = ensemble.valid_from + first * step
    distinct: dict[tuple[float, ...], int] = {}
    rain_of: dict[str, int] = {}
    failed: list[FailedMember] = []
    if len({member.member for member in ensemble.members}) < len(ensemble.members):
        raise InputError("two members of the weather ensemble have the same id")
    for member in ensemble.members:
        try:
            steps = _known_steps(member, first, last, ensemble)
        except InputError as error:
            failed.append(FailedMember(member.member, str(error)))
        else:
            rain_of[member.member] = distinct.setdefault(steps, len(distinct))
    series = tuple(RainSeries(ensemble.gage_id, begins, ensemble.interval_s, steps) for steps in distinct)
    return MemberRain(tuple(rain_of), tuple(rain_of.values()), series, tuple(failed))


def _known_steps(member: WeatherMember, first: int, last: int, ensemble: WeatherEnsemble) -> tuple[float, ...]:
    known: list[float] = []
    for index in range(first, last):
        rain_mm = member.rain_mm[index] if index < len(member.rain_mm) else None
        at = format_time(ensemble.valid_from + timedelta(seconds=index * ensemble.interval_s))
        if rain_mm is None:
            raise InputError(f"rain of the step from {at} is missing")
        if not math.isfinite(rain_mm) or rain_mm < 0:
            raise InputError(f"rain of the step from {at} is {rain_mm!r} mm")
        known.append(float(rain_mm))
    return tuple(known)


def enough(done: int, members: int) -> bool:
    """Return whether `done` of `members` members are enough to state probabilities: three, and half of them."""
    return done >= max(MIN_MEMBERS, members / 2)


def node_floods(
    node_ids: Sequence[str],
    runs: Sequence[EngineRun],
    start: datetime,
    *,
    threshold_m3: float,
    state_probability: bool,
) -> tuple[NodeFlood, ...]:
    """Return the ensemble's statement on every node from one run per done member.

    A member floods a node with at least `threshold_m3`. The onset is the median over the flooding members only;
    percentiles are linear (numpy's default) over all members, dry ones with what they have.
    """
    volume_m3 = np.array([[node.flooded_m3 for node in run.nodes] for run in runs])
    depth_m = np.array([[node.max_depth_m for node in run.nodes] for run in runs])
    onset_s = np.array([[_or_nan(node.first_flooded_s) for node in run.nodes] for run in runs])
    floods = volume_m3 >= threshold_m3
    share = floods.mean(axis=0)
    volume_p50, volume_p90 = np.percentile(volume_m3, [50, 90], axis=0)
    depth_p50, depth_p90 = np.percentile(depth_m, [50, 90], axis=0)
    return tuple(
        NodeFlood(
            node_id=node_id,
            probability=float(share[i]) if state_probability else None,
            onset_median=_onset(onset_s[floods[:, i], i], start),
            depth_p50_m=float(depth_p50[i]),
            depth_p90_m=float(depth_p90[i]),
            volume_p50_m3=float(volume_p50[i]),
            volume_p90_m3=float(volume_p90[i]),
        )
        for i, node_id in enumerate(node_ids)
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _onset(onsets_s: npt.NDArray[np.float64], start: datetime) -> datetime | None:
    known = onsets_s[~np.isnan(onsets_s)]
    return start + timedelta(seconds=round(float(np.median(known)))) if known.size else None
