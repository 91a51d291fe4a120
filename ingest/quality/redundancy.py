"""Drift and step: a sensor that parts from another one that measures the same.

Judged are the differences of the readings before the present one (so that the other sensor's reading of the same
moment has arrived), the median of the last few of them against what it used to be:

- beyond what the two ever differed by: `step` if the difference changed at once, `drift` if little by little;
- far enough (`WitnessLimit`), always, however long it has been so;
- in the exact ratio of two units: `unit_suspect` (`ingest.quality.unit_ratio`).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from ingest.quality.limits import WitnessLimit
from twin.readings import Reason

LAST = 6
"""So many differences decide together; their median is what it is, whatever a spike does to one of them."""

FEWEST_USUAL = 8
_BEYOND_USUAL = 6.0  # standard deviations of the usual differences
_MAD_TO_SIGMA = 1.4826


def is_apart(
    differences: Sequence[float], witnesses: Sequence[float], usual: Sequence[float], floor: float, limit: WitnessLimit
) -> bool:
    """Whether the last differences from the other sensor (which said `witnesses`) are no longer the usual ones."""
    if len(differences) < LAST:
        return False
    now = median(differences[-LAST:])
    if abs(now) > limit.margin + limit.share * abs(median(witnesses[-LAST:])):
        return True
    if len(usual) < FEWEST_USUAL:
        return False
    offset = median(usual)
    sigma = _MAD_TO_SIGMA * median(abs(difference - offset) for difference in usual)
    return abs(now - offset) > floor + _BEYOND_USUAL * sigma


def how_it_parted(differences: Sequence[float], usual: Sequence[float]) -> Reason:
    """Return step if the differences, group by group, went from the usual to the present ones at once; else drift."""
    offset = median(usual) if usual else 0.0
    deviation = abs(median(differences[-LAST:]) - offset)
    groups = [abs(median(differences[end - LAST : end]) - offset) for end in range(len(differences), LAST - 1, -LAST)]
    at_once = any(
        older < 0.25 * deviation and newer > 0.75 * deviation for newer, older in zip(groups, groups[2:], strict=False)
    )
    return Reason.STEP if at_once or (len(groups) > 1 and groups[1] < 0.25 * deviation) else Reason.DRIFT
