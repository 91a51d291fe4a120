"""Missing intervals: what a sensor should have said and did not, until it is filled or given up.

Gaps lie between two readings that came, one right after the other in time, so they are a function of what is stored:
in whatever order the readings came, the gaps are the same. Between two readings whose `seq` rises, the numbers say
exactly how many are missing, also where none is: then the sensor was silent. Where a number is lacking, or the device
began to count anew, a pause of more than `LONGEST_PAUSE_INTERVALS` of the declared cadence says about how many.

Readings from the future (`early`) do not count: nobody can tell when they were true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from twin.readings import Reading, Reason

LONGEST_PAUSE_INTERVALS = 1.5
MOST_PER_SECOND = 1000
"""Numbers that would need more readings a second than this between two moments were not counted but set anew."""


class GapState(StrEnum):
    """What has become of a gap."""

    OPEN = "open"
    REQUESTED = "requested"  # the gateway was asked to send again
    CLOSED = "closed"  # the late readings came
    GIVEN_UP = "given_up"  # asked often enough in vain


WAITING = (GapState.OPEN, GapState.REQUESTED)
"""States of gaps whose readings may still come."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings of one sensor that are missing between two that came: `start` < observed_at < `end`.

    `missing` is how many are lacking still, `missing_at_first` how many were when it was found. `by_seq` says that the
    count is exact: `first_seq` to `last_seq` (inclusive) are lacking.
    """

    sensor_id: str
    gateway_id: str
    start: datetime
    end: datetime
    missing: int
    missing_at_first: int
    found_at: datetime
    state: GapState = GapState.OPEN
    first_seq: int | None = None
    last_seq: int | None = None
    requests: int = 0
    requested_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, datetime]:
        """What makes a gap unique: the sensor and the last reading before it."""
        return (self.sensor_id, self.start)

    @property
    def by_seq(self) -> bool:
        """Whether numbers, not the cadence, told of it."""
        return self.first_seq is not None

    @property
    def is_waiting(self) -> bool:
        """Whether its readings may still come by themselves or by request."""
        return self.state in WAITING


@dataclass(frozen=True, slots=True)
class GapTotals:
    """The waiting gaps of an installation in three numbers; `since` is the start of the oldest."""

    gaps: int
    missing: int
    since: datetime | None


def gap_between(before: Reading, after: Reading, *, every_s: float, gateway_id: str, found_at: datetime) -> Gap | None:
    """Return what is missing between two neighbouring readings of one sensor, or None.

    `every_s` is the declared cadence of the sensor in seconds.
    """
    first_seq = last_seq = None
    if before.seq is not None and after.seq is not None and counts_on(before, after):
        missing = after.seq - before.seq - 1
        first_seq, last_seq = before.seq + 1, after.seq - 1
    else:
        missing = _skipped((after.observed_at - before.observed_at).total_seconds(), every_s)
    if missing < 1:
        return None
    return Gap(
        sensor_id=before.sensor_id,
        gateway_id=gateway_id,
        start=before.observed_at,
        end=after.observed_at,
        missing=missing,
        missing_at_first=missing,
        found_at=found_at,
        first_seq=first_seq,
        last_seq=last_seq,
    )


def counts_on(before: Reading, after: Reading) -> bool:
    """Whether the later of two readings carries on the count of the earlier one, rather than one begun anew."""
    if before.seq is None or after.seq is None or after.seq <= before.seq:
        return False
    pause_s = (after.observed_at - before.observed_at).total_seconds()
    return after.seq - before.seq <= max(1.0, pause_s * MOST_PER_SECOND)


def is_restart(before: Reading, after: Reading) -> bool:
    """Whether the device began to count anew between two readings; a number that never changes is no count."""
    return before.seq is not None and after.seq not in (None, before.seq) and not counts_on(before, after)


def is_counted(reading: Reading) -> bool:
    """Whether the reading stands at a time that can be believed."""
    return Reason.EARLY not in reading.reasons


def gaps_among(readings: Iterable[Reading], *, every_s: float, gateway_id: str, found_at: datetime) -> Iterator[Gap]:
    """Yield the gaps between the readings of one sensor, which come in order of time."""
    for before, after in pairwise(filter(is_counted, readings)):
        gap = gap_between(before, after, every_s=every_s, gateway_id=gateway_id, found_at=found_at)
        if gap is not None:
            yield gap


def reconciled(known: Sequence[Gap], found: Sequence[Gap], *, at: datetime) -> list[Gap]:
    """Return the gaps to save, so that the ledger, which holds `known`, says what was `found` at `at`.

    A known gap that is not found any more is closed. A found one that is known, or is what remains of a known one,
    carries on its requests and its state.
    """
    by_key = {gap.key: gap for gap in known}
    changed = []
    for gap in found:
        held = by_key.get(gap.key)
        told = _carried_on(gap, held if held is not None else _remains_of(gap, known))
        if held is not None and held.state is not GapState.CLOSED:
            told = replace(told, missing_at_first=max(held.missing_at_first, gap.missing))
        if told != held:
            changed.append(told)
    still = {gap.key for gap in found}
    over = [gap for gap in known if gap.state is not GapState.CLOSED and gap.key not in still]
    return changed + [replace(gap, state=GapState.CLOSED, missing=0, closed_at=at) for gap in over]


def _remains_of(gap: Gap, known: Sequence[Gap]) -> Gap | None:
    parts = (other for other in known if other.start < gap.start < other.end and other.state is not GapState.CLOSED)
    return next(parts, None)


def _carried_on(gap: Gap, held: Gap | None) -> Gap:
    if held is None or held.state is GapState.CLOSED:
        return gap
    return replace(
        gap,
        gateway_id=held.gateway_id or gap.gateway_id,
        found_at=held.found_at,
        state=held.state,
        requests=held.requests,
        requested_at=held.requested_at,
    )


def _skipped(pause_s: float, every_s: float) -> int:
    """Return about how many readings a pause has swallowed."""
    if pause_s <= LONGEST_PAUSE_INTERVALS * every_s:
        return 0
    return max(1, round(pause_s / every_s) - 1)
