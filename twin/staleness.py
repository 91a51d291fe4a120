"""Which values are void because their sender said that it is gone.

A sender that dies in an orderly way (an edge node's death certificate, say) tells so at once, long before anybody could
notice its silence: from then on its sensors' last values say nothing of now. They are true of their own time still.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from twin.readings import Reading, Reason


def outlives(reading: Reading, since: datetime) -> bool:
    """Whether a reading shows that its sender lives again after it was said to be gone at `since`.

    It became known later, and not as something that the sender had kept from the time before.
    """
    is_kept = Reason.HISTORICAL in reading.reasons and reading.observed_at <= since
    return reading.available_at > since and not is_kept


def stale_since(marks: Mapping[str, datetime], latest: Mapping[str, Reading], *, now: datetime) -> dict[str, datetime]:
    """Return since when sensors are stale at `now`: those with a mark that their latest reading does not outlive."""
    return {
        sensor_id: since
        for sensor_id, since in marks.items()
        if since <= now and not (sensor_id in latest and outlives(latest[sensor_id], since))
    }


def without(latest: Mapping[str, Reading], stale: Iterable[str]) -> dict[str, Reading]:
    """Return the latest readings of the sensors that are not stale."""
    gone = frozenset(stale)
    return {sensor_id: reading for sensor_id, reading in latest.items() if sensor_id not in gone}
