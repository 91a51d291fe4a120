"""Unit suspect: values that lie off by exactly the ratio of two units that people mix up.

Against its own past a sensor is suspect when its last readings all lie well outside of what it used to say, all fit
into it once divided by a ratio, and got there with a jump: demand comes and goes by the same factor, but little by
little. Against a redundant sensor the ratio itself is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from statistics import median

from twin.units import Quantity

FEWEST = 8
"""So many readings in a row must agree before a unit is suspected."""

USUAL_AT_LEAST = 12
"""So many buckets of the past must be known before they say what is usual."""

_LENGTHS = {
    "bar sent as m": 1 / 10.197, "m sent as bar": 10.197, "kPa sent as m": 9.80665, "m sent as kPa": 1 / 9.80665,
    "psi sent as m": 1.42233, "m sent as psi": 0.70307, "psi sent as bar": 14.5038, "bar sent as psi": 1 / 14.5038,
    "kPa sent as psi": 6.89476, "psi sent as kPa": 0.145038,
}  # fmt: skip
_FEET = {"ft sent as m": 3.28084, "m sent as ft": 0.3048}
_DECIMAL = {
    "1000 times too large (mm for m, L for m3)": 1000.0, "1000 times too small (m for mm, m3 for L)": 1e-3,
    "100 times too large (cm for m)": 100.0, "100 times too small (m for cm)": 0.01,
}  # fmt: skip
_FLOWS = {
    "m3/h sent as L/s": 3.6, "L/s sent as m3/h": 1 / 3.6, "L/min sent as L/s": 60.0, "L/s sent as L/min": 1 / 60.0,
    "m3/h sent as m3/s": 3600.0, "m3/s sent as m3/h": 1 / 3600.0,
    "gpm sent as L/s": 15.8503, "L/s sent as gpm": 0.0630902,
}  # fmt: skip
_VOLUMES = {
    "ft3 sent as m3": 35.3147, "m3 sent as ft3": 0.0283168, "US gallons sent as m3": 264.172,
    "m3 sent as US gallons": 0.00378541, "US gallons sent as L": 0.264172, "L sent as US gallons": 3.78541,
}  # fmt: skip
RATIOS: dict[Quantity, dict[str, float]] = {
    Quantity.PRESSURE: {**_LENGTHS, **_FEET, **_DECIMAL},
    Quantity.HEAD: {**_FEET, **_DECIMAL},
    Quantity.LEVEL: {**_FEET, **_DECIMAL},
    Quantity.FLOW: {**_FLOWS, **_DECIMAL},
    Quantity.DEMAND: {**_FLOWS, **_DECIMAL},
    Quantity.VOLUME: {**_VOLUMES, **_DECIMAL},
}
"""The likely mistake by what the value is multiplied with by it."""

_ALONE_FROM = {Quantity.LEVEL: 9.0, Quantity.HEAD: 9.0}
"""Without a redundant sensor only larger ratios count: a level three times as high as ever may be a flood."""

_OUTSIDE = 1.5
_INSIDE = 1.25
_RATIO_TOLERANCE = 0.03
_REGISTER_TOLERANCE = 0.01


def envelope(usual: Sequence[float]) -> tuple[float, float] | None:
    """Return the range (of magnitudes) of what a sensor used to say, without the one most extreme value on each side.

    None if it says nothing: too few values, or some at zero.
    """
    sizes = sorted(abs(value) for value in usual if value != 0.0)
    if len(sizes) < USUAL_AT_LEAST:
        return None
    return sizes[1], sizes[-2]


def unit_of_past(recent: Sequence[float], usual: tuple[float, float], quantity: Quantity) -> str | None:
    """Return the likely mistake in the last of the `recent` readings given the envelope of the past, or None."""
    sizes = [abs(value) for value in recent]
    last = sizes[-FEWEST:]
    low, high = usual
    if len(last) < FEWEST or min(last) == 0.0 or not (min(last) > high * _OUTSIDE or max(last) < low / _OUTSIDE):
        return None
    factor = median(last) / (low * high) ** 0.5
    least, most = _ALONE_FROM.get(quantity, 0.0), _jump(sizes, usual) ** 2
    fitting = [
        (abs(_log_ratio(factor, ratio)), name)
        for name, ratio in RATIOS.get(quantity, {}).items()
        if least < max(ratio, 1 / ratio) <= most
        and min(last) / ratio >= low / _INSIDE
        and max(last) / ratio <= high * _INSIDE
    ]
    return min(fitting)[1] if fitting else None


def unit_of_witness(values: Sequence[float], witnesses: Sequence[float], quantity: Quantity) -> str | None:
    """Return the likely mistake in `values` given what a redundant sensor said at the same moments, or None."""
    ratios = [value / witness for value, witness in zip(values, witnesses, strict=True) if witness and value]
    if len(ratios) < len(values):
        return None
    return _named(median(ratios), quantity, _RATIO_TOLERANCE)


def unit_of_register(before: float, value: float, quantity: Quantity) -> str | None:
    """Return the likely mistake when a meter's register jumps from `before` to `value`, or None."""
    return _named(value / before, quantity, _REGISTER_TOLERANCE) if before > 0 and value > 0 else None


def _jump(sizes: Sequence[float], usual: tuple[float, float]) -> float:
    """Return the factor by which readings left the usual at once; infinite if they did so before all of these."""
    low, high = usual
    first = sizes[-1]
    for size in reversed(sizes):
        if size <= high * _OUTSIDE if first > high else size >= low / _OUTSIDE:
            smaller, larger = sorted((size, first))
            return larger / smaller if smaller else inf
        first = size
    return inf


def _named(factor: float, quantity: Quantity, tolerance: float) -> str | None:
    close = [
        (abs(factor / ratio - 1), name)
        for name, ratio in RATIOS.get(quantity, {}).items()
        if abs(factor / ratio - 1) <= tolerance
    ]
    return min(close)[1] if close else None


def _log_ratio(one: float, other: float) -> float:
    return one / other - 1 if one > other else other / one - 1
