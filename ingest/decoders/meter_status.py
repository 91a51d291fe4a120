"""What meters say of themselves, in the words of wmbusmeters, and how serious it is.

The words come from wmbusmeters' water drivers and the status byte of EN 13757-3. A word that is in no table is shown to
people as a status, and never taken for an alarm or for well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from twin.readings import Reason

_WELL = frozenset({"OK", "NO_ALARM", "NO_ERROR", "NORMAL", "NULL", "NONE"})

_ALARM_WORDS = frozenset(
    {
        "ALARM", "ERROR", "PERMANENT", "BLOCKED", "BLOCKAGE", "DRY", "EMPTY", "AIR", "BURST", "BURSTING", "LEAK",
        "LEAKING", "LEAKAGE", "UNDERFLOW", "OVERFLOW", "BACKFLOW", "REVERSE", "REVERSED", "FREEZE", "FREEZING", "FROST",
        "FRAUD", "TAMPER", "TAMPERED", "MAGNETIC", "MANIPULATION", "REMOVAL", "REMOVED", "SUBMARINE", "BROKEN",
        "DEFECT", "FAULT", "FAILURE",
    }
)  # fmt: skip
"""Parts of a status word (between its underscores) that mean a fault of the meter or the water at it."""

_OF_THE_WATER = frozenset({"LEAK", "LEAKING", "LEAKAGE", "BURST", "BURSTING", "BACKFLOW", "REVERSE", "REVERSED"})
"""Faults behind the meter: its register is right, and just now worth knowing."""

_HARMLESS_WORDS = frozenset({"BATTERY", "POWER", "TEMPORARY", "PREVIOUS", "PREVIOUSLY", "HISTORIC", "UNKNOWN", "BUSY"})
"""Parts that make a word harmless, whatever else it holds: over, or a matter of the next visit."""

_BETWEEN = re.compile(r"[\s,;|]+")
_PART = re.compile(r"[A-Z0-9]+")
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class StatusText:
    """Whether a status is an alarm, what it means for the reading beside it, and the meter's own words.

    The reason is device_alarm (the value is in doubt) only for a fault of the meter itself.
    """

    is_alarm: bool
    reason: Reason
    text: str


def read_status(fields: Mapping[str, object]) -> StatusText | None:
    """Return what the status fields of a telegram say, or None where all is well."""
    words: list[str] = []
    for value in fields.values():
        if isinstance(value, str):
            words += [word for word in _BETWEEN.split(value) if word and word.upper() not in _WELL]
    if not words:
        return None
    alarms = [word for word in words if is_alarm(word)]
    in_doubt = not all(_is_of_the_water(word) for word in alarms)
    text = " ".join(dict.fromkeys(words))[:_LONGEST_TEXT]
    return StatusText(bool(alarms), Reason.DEVICE_ALARM if in_doubt else Reason.DEVICE_STATUS, text)


def is_alarm(word: str) -> bool:
    """Whether one word of a status, such as METER_BLOCKED, is a fault."""
    parts = _parts(word)
    if parts & _HARMLESS_WORDS or "NO" in parts:
        return False
    return bool(parts & _ALARM_WORDS)


def _is_of_the_water(alarm: str) -> bool:
    return _parts(alarm) & _ALARM_WORDS <= _OF_THE_WATER


def _parts(word: str) -> frozenset[str]:
    parts = frozenset(_PART.findall(word.upper()))
    return parts | {"BACKFLOW"} if parts >= {"BACK", "FLOW"} else parts
