"""What the name of a value says of it: its unit, and whether it is about the water or about the device."""

from __future__ import annotations

import re

from twin.errors import UnknownUnitError
from twin.units import unit_named

_UNIT_AT_END = {
    "m3h": "m3/h", "m3s": "m3/s", "m3d": "m3/d", "m3": "m3", "ls": "L/s", "lps": "L/s", "lph": "L/h", "lpm": "L/min",
    "bar": "bar", "mbar": "mbar", "kpa": "kPa", "psi": "psi", "mh2o": "mH2O", "mwc": "mH2O", "mca": "mH2O", "mm": "mm",
    "m": "m", "cm": "cm", "c": "degC", "degc": "degC", "celsius": "degC", "kwh": "kWh", "wh": "Wh", "kw": "kW",
    "ntu": "NTU", "fnu": "NTU", "mgl": "mg/L", "uscm": "uS/cm", "mscm": "mS/cm", "gpm": "gpm", "pct": "%",
    "percent": "%",
}  # fmt: skip
_OF_DEVICE = re.compile(
    r"rssi|snr|lqi|battery|batt|vbat|uptime|firmware|version|f_?cnt|f_?port|dr$|counter_?id|spreading|bandwidth|"
    r"frequency|latitude|longitude|altitude|bdseq|node control|node info|control/|properties/|heap|wifi|"
    r"signal|margin|reboot|rebirth",
    re.IGNORECASE,
)

_OF_THE_PAST = re.compile(
    r"target|histor|_ago|(^|_)last_|(^|_)prev|(^|_)due_|set_date|reporting_date|_period|"
    r"^(january|february|march|april|may|june|july|august|september|october|november|december)_",
    re.IGNORECASE,
)


def unit_in_name(name: str) -> str | None:
    """Return the unit that a name ends with (`flow_m3h`, `pressure.bar`), or None."""
    last = re.split(r"[/._\-#: ]", name)[-1]
    guess = _UNIT_AT_END.get(last.lower())
    if guess is None:
        found = re.search(r"(?<=[a-z0-9])(M3H|M3|Bar|Kpa|Psi|Celsius)$", last)  # flowM3H, pressureBar
        guess = None if found is None else _UNIT_AT_END.get(found[1].lower())
    return guess


def is_about_device(name: str) -> bool:
    """Whether a value tells of the device (radio, battery, software) and not of the water."""
    return _OF_DEVICE.search(name) is not None


def is_of_the_past(field: str) -> bool:
    """Whether a meter's field holds what was true at an earlier date (the end of a month, say), not now."""
    return _OF_THE_PAST.search(field) is not None


def is_known_unit(unit: str) -> bool:
    """Whether h2twin can convert the unit."""
    try:
        unit_named(unit)
    except UnknownUnitError:
        return False
    return True
