"""The order of observed time within a batch.

Messages may come in another order than they were measured in: a gateway sends again what was not acknowledged, several
connections speak for one sensor, a client hands over what waited after what is new. What is out of order costs a look
into the store later; within a batch it need not.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import le

from twin.readings import Reading


def in_observed_order(readings: Sequence[Reading]) -> Sequence[int]:
    """Return the places of the readings in order of observed time, those of one time as they came."""
    times = [reading.observed_at for reading in readings]
    if all(map(le, times, times[1:])):
        return range(len(times))
    return sorted(range(len(times)), key=times.__getitem__)
