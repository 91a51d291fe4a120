"""SenML's registered units (RFC 8428 section 12.1, RFC 9100) in the names of `twin.units`.

The registry gives some names another meaning than the unit table does (`C` is coulomb, `F` farad): what is registered
goes through this table only. Names that are not registered are handed on as they are, since many senders write them.
"""

from __future__ import annotations

_TWIN_NAME = {
    "m": "m", "m3": "m3", "l": "L", "m3/s": "m3/s", "l/s": "L/s", "Pa": "Pa", "Cel": "degC", "K": "K", "W": "W",
    "J": "J", "S/m": "S/m", "pH": "pH", "NTU": "NTU", "/": "1", "%": "%", "%RH": "%", "%EL": "%", "EL": "1",
    # secondary units of RFC 9100
    "mm": "mm", "cm": "cm", "hPa": "mbar", "kW": "kW", "Wh": "Wh", "kWh": "kWh", "/100": "%",
}  # fmt: skip

_REGISTERED_OTHERS = frozenset(
    {
        "kg", "g", "s", "A", "cd", "mol", "Hz", "rad", "sr", "N", "C", "V", "F", "Ohm", "S", "Wb", "T", "H",
        "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m/s", "m/s2", "W/m2", "cd/m2", "bit", "bit/s", "lat",
        "lon", "dB", "dBW", "Bspl", "count", "1/s", "1/min", "beat/min", "beats", "VA", "VAs", "var", "vars",
        "J/m", "kg/m3", "deg", "ms", "min", "h", "MHz", "kVA", "kvar", "Ah", "Wh/km", "KiB", "GB", "Mbit/s",
        "B", "B/s", "MB/s", "mV", "mA", "dBm", "ug/m3", "mm/h", "m/h", "ppm", "/1000", "km", "km/h", "gravity",
    }
)  # fmt: skip

_SUM_OF = {"m3/s": "m3", "l/s": "L", "W": "J"}
"""A sum is the integral of the value over time in seconds; these have a name for it."""


def twin_unit(unit: str) -> str:
    """Return the unit table's name of a SenML unit; a registered one that it lacks becomes one that nobody knows."""
    if unit in _TWIN_NAME:
        return _TWIN_NAME[unit]
    return f"SenML {unit}" if unit in _REGISTERED_OTHERS else unit


def unit_of_sum(unit: str | None) -> str | None:
    """Return the unit of a sum whose record is in `unit`; None where the record names none."""
    if unit is None:
        return None
    return _SUM_OF.get(unit, f"SenML {unit}.s")
