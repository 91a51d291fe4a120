"""The one table of units. Inside h2twin everything is SI; conversion happens at the edges, from this table only.

A quantity says what is measured; it has exactly one SI unit here, and a set of units it may arrive in.
EPANET's and SWMM's own unit systems are not here: `models/` alone knows them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from twin.errors import InputError, UnknownUnitError, WrongDimensionError


class Quantity(StrEnum):
    """What a sensor measures."""

    PRESSURE = "pressure"
    HEAD = "head"
    FLOW = "flow"
    LEVEL = "level"
    VOLUME = "volume"
    DEMAND = "demand"
    RAIN = "rain"
    TEMPERATURE = "temperature"
    STATUS = "status"
    SPEED = "speed"
    POWER = "power"
    ENERGY = "energy"
    CHLORINE = "chlorine"
    TURBIDITY = "turbidity"
    PH = "ph"
    CONDUCTIVITY = "conductivity"


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: `si_value = value * factor + offset` in the SI unit of its dimension."""

    name: str
    dimension: str
    factor: float
    offset: float = 0.0


FOOT_M = 0.3048
US_GALLON_M3 = 231 * 0.0254**3
STANDARD_GRAVITY_MS2 = 9.80665
WATER_DENSITY_KGM3 = 1000.0
PASCAL_M = 1.0 / (WATER_DENSITY_KGM3 * STANDARD_GRAVITY_MS2)
PSI_PA = 6894.757293168361
HOUR_S = 3600.0
DAY_S = 86400.0

_UNITS = (
    # length, and pressure as metres of water column (1000 kg/m3, standard gravity)
    Unit("m", "length", 1.0),
    Unit("cm", "length", 0.01),
    Unit("ft", "length", FOOT_M),
    Unit("mH2O", "length", 1.0),
    Unit("bar", "length", 1e5 * PASCAL_M),
    Unit("mbar", "length", 100 * PASCAL_M),
    Unit("kPa", "length", 1e3 * PASCAL_M),
    Unit("Pa", "length", PASCAL_M),
    Unit("psi", "length", PSI_PA * PASCAL_M),
    # flow
    Unit("m3/s", "flow", 1.0),
    Unit("m3/h", "flow", 1 / HOUR_S),
    Unit("m3/d", "flow", 1 / DAY_S),
    Unit("L/s", "flow", 1e-3),
    Unit("L/min", "flow", 1e-3 / 60),
    Unit("L/h", "flow", 1e-3 / HOUR_S),
    Unit("gpm", "flow", US_GALLON_M3 / 60),
    Unit("MGD", "flow", 1e6 * US_GALLON_M3 / DAY_S),
    Unit("ft3/s", "flow", FOOT_M**3),
    # volume
    Unit("m3", "volume", 1.0),
    Unit("L", "volume", 1e-3),
    Unit("gal", "volume", US_GALLON_M3),
    Unit("ft3", "volume", FOOT_M**3),
    # rain depth
    Unit("mm", "depth", 1.0),
    Unit("in", "depth", 25.4),
    # the rest
    Unit("degC", "temperature", 1.0),
    Unit("K", "temperature", 1.0, -273.15),
    Unit("degF", "temperature", 5 / 9, -160 / 9),
    Unit("1", "ratio", 1.0),
    Unit("%", "ratio", 0.01),
    Unit("W", "power", 1.0),
    Unit("kW", "power", 1e3),
    Unit("J", "energy", 1.0),
    Unit("Wh", "energy", HOUR_S),
    Unit("kWh", "energy", 1e3 * HOUR_S),
    Unit("mg/L", "concentration", 1.0),
    Unit("ug/L", "concentration", 1e-3),
    Unit("NTU", "turbidity", 1.0),
    Unit("pH", "ph", 1.0),
    Unit("S/m", "conductivity", 1.0),
    Unit("mS/cm", "conductivity", 0.1),
    Unit("uS/cm", "conductivity", 1e-4),
)
_BY_NAME = {unit.name: unit for unit in _UNITS}
_ALIASES = {
    "mH20": "mH2O", "mca": "mH2O", "mwc": "mH2O", "lps": "L/s", "LPS": "L/s", "l/s": "L/s", "l/h": "L/h",
    "l/min": "L/min", "LPM": "L/min", "CMH": "m3/h", "m³/h": "m3/h", "m³/s": "m3/s", "m³": "m3", "l": "L",
    "GPM": "gpm", "CFS": "ft3/s", "cfs": "ft3/s", "°C": "degC", "C": "degC", "°F": "degF", "F": "degF",
    "inch": "in", "µS/cm": "uS/cm", "FNU": "NTU", "mbar_g": "mbar", "mg/l": "mg/L",
}  # fmt: skip

# The dimensions a quantity may arrive in; the first unit named is the SI unit it is kept in.
_SI: dict[Quantity, tuple[str, tuple[str, ...]]] = {
    Quantity.PRESSURE: ("m", ("length",)),
    Quantity.HEAD: ("m", ("length",)),
    Quantity.LEVEL: ("m", ("length",)),
    Quantity.FLOW: ("m3/s", ("flow",)),
    Quantity.DEMAND: ("m3/s", ("flow",)),
    Quantity.VOLUME: ("m3", ("volume",)),
    Quantity.RAIN: ("mm", ("depth",)),
    Quantity.TEMPERATURE: ("degC", ("temperature",)),
    Quantity.STATUS: ("1", ("ratio",)),
    Quantity.SPEED: ("1", ("ratio",)),
    Quantity.POWER: ("W", ("power",)),
    Quantity.ENERGY: ("J", ("energy",)),
    Quantity.CHLORINE: ("mg/L", ("concentration",)),
    Quantity.TURBIDITY: ("NTU", ("turbidity",)),
    Quantity.PH: ("pH", ("ph",)),
    Quantity.CONDUCTIVITY: ("S/m", ("conductivity",)),
}


def si_unit(quantity: Quantity) -> str:
    """Return the name of the one unit in which `quantity` is kept."""
    return _SI[quantity][0]


def unit_named(name: str) -> Unit:
    """Return the unit called `name` (or by one of its aliases).

    Raises:
        UnknownUnitError: If the table does not hold it; the message lists what it holds.
    """
    unit = _BY_NAME.get(_ALIASES.get(name, name))
    if unit is None:
        raise UnknownUnitError(f"unknown unit {name!r}; known units: {', '.join(_BY_NAME)}")
    return unit


def to_si(value: float, unit: str, quantity: Quantity) -> float:
    """Convert `value` in `unit` to the SI unit of `quantity`.

    Raises:
        InputError: If the value is not finite, before or after conversion.
        UnknownUnitError: If the unit is not in the table.
        WrongDimensionError: If the unit does not measure the quantity.
    """
    factor, offset = scale_of(unit, quantity)
    converted = value * factor + offset
    if not math.isfinite(converted):
        raise InputError(f"{value!r} {unit} is not a finite {quantity}")
    return converted


def from_si(value: float, unit: str, quantity: Quantity) -> float:
    """Convert `value` in the SI unit of `quantity` to `unit`; errors as in `to_si`."""
    factor, offset = scale_of(unit, quantity)
    return (value - offset) / factor


@lru_cache(maxsize=1024)
def scale_of(unit: str, quantity: Quantity) -> tuple[float, float]:
    """Return factor and offset (`si_value = value * factor + offset`) of a unit that measures the quantity.

    Raises:
        UnknownUnitError: If the unit is not in the table.
        WrongDimensionError: If the unit does not measure the quantity.
    """
    known = unit_named(unit)
    if known.dimension not in _SI[quantity][1]:
        raise WrongDimensionError(f"{unit!r} measures {known.dimension}, not {quantity}")
    return known.factor, known.offset
