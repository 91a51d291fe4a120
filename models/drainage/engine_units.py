"""SWMM's two unit systems, told apart by the flow unit of the model; everything that comes out is SI.

In SWMM the flow unit decides all the others (SWMM 5.2 User's Manual, appendix A.1): with CFS, GPM and MGD lengths
are feet, areas acres and rain inches; with CMS, LPS and MLD lengths are metres, areas hectares and rain millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

from twin.errors import InputError

FOOT_M = 0.3048
INCH_MM = 25.4
ACRE_M2 = 43560 * FOOT_M**2
HECTARE_M2 = 10_000.0

_US = ("CFS", "GPM", "MGD")
_METRIC = ("CMS", "LPS", "MLD")
DEFAULT_FLOW_UNITS = "CFS"


@dataclass(frozen=True, slots=True)
class EngineUnits:
    """Factors from the engine's units to SI: value in SI = value of the engine * factor."""

    flow_units: str
    length_m: float
    area_m2: float
    rain_mm: float

    @property
    def volume_m3(self) -> float:
        """Cubic metres in the engine's unit of node volumes (ft3 or m3)."""
        return self.length_m**3


def units_of(flow_units: str) -> EngineUnits:
    """Return the units that go with an INP's FLOW_UNITS.

    Raises:
        InputError: If the engine does not know the flow unit.
    """
    name = flow_units.upper()
    if name in _US:
        return EngineUnits(name, length_m=FOOT_M, area_m2=ACRE_M2, rain_mm=INCH_MM)
    if name in _METRIC:
        return EngineUnits(name, length_m=1.0, area_m2=HECTARE_M2, rain_mm=1.0)
    raise InputError(f"FLOW_UNITS {flow_units!r} is none of {', '.join(_US + _METRIC)}")
