"""What the members of an ensemble say together: probabilities, and when at the earliest and at the latest.

An outage of the median course of demand and one of a member are the same if they overlap, give or take three hours.
What members have beside these is one more outage a junction, as the middle one of the members has it. Percentiles are
order statistics (the value that at least so many members do not exceed), since "not within the horizon" is a value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from models.supply.lookahead import Lookahead
from models.supply.members import LEAST_MEMBERS
from twin.forecasts import PredictedOutage, PumpOutlook, Reach, TankOutlook

LIKELY = 0.5
"""An outage that so many of the members have counts as predicted even if the median course has none."""

_WORTH_SAYING = 0.05
_SAME_WITHIN = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Together:
    """The median course of demand, with what the members add."""

    outages: tuple[PredictedOutage, ...]
    possible: tuple[PredictedOutage, ...]
    tanks: tuple[TankOutlook, ...]
    pumps: tuple[PumpOutlook, ...]


def together(median: Lookahead, members: Sequence[Lookahead], *, issued_at: datetime) -> Together:
    """Join a look-ahead and its members; with too few of them nothing is said about probabilities."""
    pumps = tuple(_pump(name, median, members) for name in median.pumps)
    if len(members) < LEAST_MEMBERS:
        return Together(median.outages, (), median.tanks, pumps)
    end = issued_at + timedelta(hours=median.hours - 1)
    outages, possible = _outages(median, members, end)
    tanks = tuple(_tank(position, median, members) for position in range(len(median.tanks)))
    return Together(outages, possible, tanks, pumps)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[_rank(share, len(values))]


def _rank(share: float, count: int) -> int:
    return max(int(np.ceil(round(share * count, 9))) - 1, 0)


# ------------------------------------------------------------------------------------------------------ outages

_OfMembers = dict[int, list[PredictedOutage]]


def _outages(
    median: Lookahead, members: Sequence[Lookahead], end: datetime
) -> tuple[tuple[PredictedOutage, ...], tuple[PredictedOutage, ...]]:
    """Return the outages to expect and those that are merely possible, by node and time."""
    expected: dict[str, list[PredictedOutage]] = defaultdict(list)
    for outage in median.outages:
        expected[outage.node_id].append(outage)
    same: dict[tuple[str, datetime], _OfMembers] = defaultdict(lambda: defaultdict(list))
    beside: dict[str, _OfMembers] = defaultdict(lambda: defaultdict(list))
    for number, member in enumerate(members):
        for outage in member.outages:
            of = next((one for one in expected.get(outage.node_id, ()) if _is_same(one, outage, end)), None)
            found = beside[outage.node_id] if of is None else same[of.node_id, of.starts_at]
            found[number].append(outage)
    count = len(members)
    said = [_with_members(one, same[one.node_id, one.starts_at], count, end) for one in median.outages]
    more = [_with_members(_middle(of, end), of, count, end) for of in beside.values()]
    said += [one for one in more if (one.probability or 0.0) >= LIKELY]
    rare = [one for one in more if _WORTH_SAYING <= (one.probability or 0.0) < LIKELY]
    return _in_order(said), _in_order(rare)


def _in_order(outages: Sequence[PredictedOutage]) -> tuple[PredictedOutage, ...]:
    return tuple(sorted(outages, key=lambda outage: (outage.node_id, outage.starts_at)))


def _is_same(one: PredictedOutage, other: PredictedOutage, end: datetime) -> bool:
    ends, other_ends = one.ends_at or end, other.ends_at or end
    return one.starts_at - _SAME_WITHIN <= other_ends and other.starts_at <= ends + _SAME_WITHIN


def _middle(of: _OfMembers, end: datetime) -> PredictedOutage:
    """Return the outage of the member that is the middle one by when it begins."""
    firsts = sorted((outages[0] for outages in of.values()), key=lambda one: (one.starts_at, one.ends_at or end))
    return firsts[(len(firsts) - 1) // 2]


def _with_members(outage: PredictedOutage, of: _OfMembers, count: int, end: datetime) -> PredictedOutage:
    """Return an outage with what the members that have it say: several of one member are one from first to last."""
    if not of:
        return replace(outage, probability=0.0)
    starts = [min(one.starts_at for one in outages).timestamp() for outages in of.values()]
    durations_s = [
        np.inf
        if any(one.ends_at is None for one in outages)
        else (max(one.ends_at or end for one in outages) - min(one.starts_at for one in outages)).total_seconds()
        for outages in of.values()
    ]
    zone = outage.starts_at.tzinfo
    return replace(
        outage,
        probability=len(of) / count,
        starts_p10_at=datetime.fromtimestamp(percentile(starts, 0.1), zone),
        starts_p90_at=datetime.fromtimestamp(percentile(starts, 0.9), zone),
        duration_p10_s=_finite(percentile(durations_s, 0.1)),
        duration_p90_s=_finite(percentile(durations_s, 0.9)),
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


# ---------------------------------------------------------------------------------------------- tanks and pumps


def _tank(position: int, median: Lookahead, members: Sequence[Lookahead]) -> TankOutlook:
    of_members = [member.tanks[position] for member in members]
    levels_m = np.sort(np.array([tank.level_series_m for tank in of_members]), axis=0)
    low_m, high_m = (levels_m[_rank(share, len(levels_m))] for share in (0.1, 0.9))
    return replace(
        median.tanks[position],
        empty=_reach(of_members, lambda tank: tank.empty_at),
        full=_reach(of_members, lambda tank: tank.full_at),
        level_p10_m=tuple(low_m.tolist()),
        level_p90_m=tuple(high_m.tolist()),
    )


def _reach(tanks: Sequence[TankOutlook], when: Callable[[TankOutlook], datetime | None]) -> Reach:
    moments = sorted(moment for tank in tanks if (moment := when(tank)) is not None)
    within: list[datetime | None] = [*moments, *[None] * (len(tanks) - len(moments))]

    p10, p50, p90 = (within[_rank(share, len(within))] for share in (0.1, 0.5, 0.9))
    return Reach(len(moments) / len(tanks), p10, p50, p90)


def _pump(name: str, median: Lookahead, members: Sequence[Lookahead]) -> PumpOutlook:
    used = median.pumps[name]
    energies = [member.pumps[name].energy_kwh for member in members]
    known = len(members) >= LEAST_MEMBERS
    return PumpOutlook(
        pump_id=name,
        running_h=used.running_h,
        volume_m3=used.volume_m3,
        energy_kwh=used.energy_kwh,
        kwh_m3=used.energy_kwh / used.volume_m3 if used.volume_m3 > 0 else None,
        standardised_kwh_m3_100m=used.standardised_kwh_m3_100m,
        cost=used.cost,
        energy_p10_kwh=percentile(energies, 0.1) if known else None,
        energy_p90_kwh=percentile(energies, 0.9) if known else None,
    )
