"""Small invented drainage models and rain for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
T0 = datetime(2026, 3, 7, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

_FT, _ACRE_HA = 0.3048, 0.40468564224


def one_street(
    *,
    units: str = "CMS",
    ponded_m2: float = 0.0,
    allow_ponding: bool = False,
    options: str = "",
    extra: str = "",
    gage: str = "G1 INTENSITY 1:00 1.0 TIMESERIES STORM",
    links: bool = True,
    conduit: str = "C1",
) -> bytes:
    """Two manholes in a row with a pipe that is too small, the same physical model in metric or US units."""
    us = units in ("CFS", "GPM", "MGD")
    length, area, depth = (1 / _FT, 1 / _ACRE_HA, 1 / 25.4) if us else (1.0, 1.0, 1.0)

    def m(value: float) -> str:
        return f"{value * length:.12g}"

    conduits = f"""[CONDUITS]
{conduit} J1 J2 {m(100)} 0.013 0 0 0 0
C2 J2 O1 {m(100)} 0.013 0 0 0 0
[XSECTIONS]
{conduit} CIRCULAR {m(0.3)} 0 0 0 1
C2 CIRCULAR {m(0.6)} 0 0 0 1
"""
    return f"""[TITLE]
one street
[OPTIONS]
FLOW_UNITS {units}
INFILTRATION HORTON
FLOW_ROUTING DYNWAVE
START_DATE 01/01/2020
START_TIME 00:00:00
END_DATE 01/01/2020
END_TIME 06:00:00
WET_STEP 00:05:00
DRY_STEP 00:30:00
ROUTING_STEP 10
REPORT_STEP 00:15:00
ALLOW_PONDING {"YES" if allow_ponding else "NO"}
{options}
[RAINGAGES]
{gage}
[SUBCATCHMENTS]
S1 G1 J1 {5 * area:.12g} 100 {m(300)} 0.5 0
S2 G1 J2 {1 * area:.12g} 50 {m(100)} 0.5 0
[SUBAREAS]
S1 0.015 0.1 {1.5 * depth:.12g} {3 * depth:.12g} 25 OUTLET
S2 0.015 0.1 {1.5 * depth:.12g} {3 * depth:.12g} 25 OUTLET
[INFILTRATION]
S1 {50 * depth:.12g} {5 * depth:.12g} 4 7 0
S2 {50 * depth:.12g} {5 * depth:.12g} 4 7 0
[JUNCTIONS]
J1 {m(10)} {m(2)} 0 0 {ponded_m2 * length**2:.12g}
J2 {m(9)} {m(2)} 0 0 {ponded_m2 * length**2:.12g}
[OUTFALLS]
O1 {m(8)} FREE NO
{conduits if links else ""}
[TIMESERIES]
STORM 0:00 999
STORM 1:00 999
[COORDINATES]
J1 0 0
J2 100 0
O1 200 0
{extra}
""".encode()


def rain_csv(rain_mm: Sequence[float], *, gage: str = "G1", start: datetime = T0, interval_s: int = 3600) -> bytes:
    """Rain that begins at `start`, one row per interval."""
    step = timedelta(seconds=interval_s)
    rows = [f"{gage},{(start + (i + 1) * step).isoformat()},{value!r},{interval_s}" for i, value in enumerate(rain_mm)]
    return "\n".join(["gage_id,observed_at,rain_mm,interval_s", *rows, ""]).encode()


def example(name: str) -> bytes:
    """One of EPA's example files."""
    return (HERE / name).read_bytes()
