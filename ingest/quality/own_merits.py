"""What a reading says of itself, whatever the others say: its value and its times."""

from __future__ import annotations

from datetime import timedelta

from ingest.quality.profile import Profile
from twin.readings import Reading, Reason

_DISQUALIFYING = frozenset({Reason.OUT_OF_RANGE, Reason.NON_PHYSICAL, Reason.DEVICE_ALARM})


def reasons_of_itself(reading: Reading, profile: Profile | None, ahead: timedelta) -> list[Reason]:
    """Return out of range, non-physical, early and late; of an unknown sensor (no profile) only early.

    What its sender kept for some time (`historical`) is not late.
    """
    reasons = []
    delay = reading.available_at - reading.observed_at
    if profile is not None:
        if not profile.low <= reading.value <= profile.high:
            reasons.append(Reason.OUT_OF_RANGE)
        if not profile.possible_low <= reading.value <= profile.possible_high:
            reasons.append(Reason.NON_PHYSICAL)
    if -delay > ahead:
        reasons.append(Reason.EARLY)
    if profile is not None and delay > profile.late_after and Reason.HISTORICAL not in reading.reasons:
        reasons.append(Reason.LATE)
    return reasons


def is_usable(reading: Reading, reasons: list[Reason]) -> bool:
    """Whether the other checks may take the value for what the sensor measured; `reasons` are those of itself."""
    return _DISQUALIFYING.isdisjoint(reasons) and _DISQUALIFYING.isdisjoint(reading.reasons)
