"""EPANET's units and ours. An INP speaks one of eleven flow units; everything outside this folder is SI.

Flow units below LPS make all else US customary (feet, cubic feet), the others metric (metres, cubic metres).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from twin.units import DAY_S, FOOT_M, HOUR_S, US_GALLON_M3

IMPERIAL_GALLON_M3 = 4.54609e-3
ACRE_FOOT_M3 = 43560 * FOOT_M**3


class FlowUnits(IntEnum):
    """EPANET's codes of flow units (EN_FlowUnits)."""

    CFS = 0
    GPM = 1
    MGD = 2
    IMGD = 3
    AFD = 4
    LPS = 5
    LPM = 6
    MLD = 7
    CMH = 8
    CMD = 9
    CMS = 10


FLOW_M3S = {
    FlowUnits.CFS: FOOT_M**3,
    FlowUnits.GPM: US_GALLON_M3 / 60,
    FlowUnits.MGD: 1e6 * US_GALLON_M3 / DAY_S,
    FlowUnits.IMGD: 1e6 * IMPERIAL_GALLON_M3 / DAY_S,
    FlowUnits.AFD: ACRE_FOOT_M3 / DAY_S,
    FlowUnits.LPS: 1e-3,
    FlowUnits.LPM: 1e-3 / 60,
    FlowUnits.MLD: 1e3 / DAY_S,
    FlowUnits.CMH: 1 / HOUR_S,
    FlowUnits.CMD: 1 / DAY_S,
    FlowUnits.CMS: 1.0,
}
"""One flow unit in m3/s."""

# EPANET's own factors (types.h): pressure units per foot of water, before specific gravity. Order of EN_PressUnits.
_PSI_PER_FOOT = 0.4333
_PRESSURE_PER_FOOT = (_PSI_PER_FOOT, 6.895 * _PSI_PER_FOOT, FOOT_M, 0.068948 * _PSI_PER_FOOT, 1.0)


@dataclass(frozen=True, slots=True)
class EngineUnits:
    """What one unit of the INP is in SI: multiply a value of the engine by these."""

    flow_units: FlowUnits
    pressure_units: int
    specific_gravity: float = 1.0

    @property
    def is_metric(self) -> bool:
        """Whether lengths are metres."""
        return self.flow_units >= FlowUnits.LPS

    @property
    def flow_m3s(self) -> float:
        """One flow unit in m3/s."""
        return FLOW_M3S[self.flow_units]

    @property
    def length_m(self) -> float:
        """One unit of length, level or head in m."""
        return 1.0 if self.is_metric else FOOT_M

    @property
    def volume_m3(self) -> float:
        """One unit of volume in m3."""
        return self.length_m**3

    @property
    def diameter_m(self) -> float:
        """One unit of a pipe's diameter (mm or inches) in m."""
        return 1e-3 if self.is_metric else FOOT_M / 12

    def engine_pressure(self, pressure_m: float) -> float:
        """Return a pressure head of `pressure_m` metres in the engine's pressure unit."""
        return pressure_m / FOOT_M * _PRESSURE_PER_FOOT[self.pressure_units] * self.specific_gravity
