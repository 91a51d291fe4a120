"""Invent the demo's drainage network: `python -m models.networks.ctown.make_drainage` writes drainage.inp again.

SYNTHETIC. C-Town has no published sewers, so a storm sewer is invented over its junctions: the places and ground
levels are C-Town's, everything below the ground is made up here by rules, the same on every run:

1. Manholes: 100 junctions spread as evenly as can be (each next one is the farthest from those taken).
2. Outfalls: below the lowest manhole, and below the lowest one at least 1.5 km away from it.
3. Sewers: every manhole drains along the cheapest way to an outfall over its nearest neighbours, where climbing costs
   extra; inverts fall at least 4 per mille towards the outfall, with at least 1.8 m of cover.
4. Catchments: one per manhole, 1 to 3 ha, 60 % impervious.
5. Diameters: the smallest standard pipe that carries the steady runoff of everything above it at its design rain, drawn
   between 7 and 40 mm/h (so that streets differ as they do in a grown city), and never smaller than the pipe above.
6. Eight sewers are three sizes too small on purpose: the known trouble spots. They are named in the file's head.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SEED = 20260101
MANHOLES = 100
NEIGHBOURS = 8
OUTFALLS_APART_M = 1500.0
CLIMB_COST = 80.0
COVER_M = 1.8
MIN_SLOPE = 0.004
OUTFALL_DROP_M = 1.5
OUTFALL_LENGTH_M = 60.0
MANNING = 0.013
IMPERVIOUS = 0.6
AREA_HA = (1.0, 3.0)
DESIGN_RAIN_MMH = (7.0, 40.0)
UNDERSIZED = 8
UNDERSIZED_BY = 3
DIAMETERS_M = (
    0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6,
)  # fmt: skip

OPTIONS = """\
FLOW_UNITS           LPS
INFILTRATION         HORTON
FLOW_ROUTING         DYNWAVE
LINK_OFFSETS         DEPTH
ALLOW_PONDING        NO
START_DATE           01/01/2026
START_TIME           00:00:00
REPORT_START_DATE    01/01/2026
REPORT_START_TIME    00:00:00
END_DATE             01/01/2026
END_TIME             12:00:00
DRY_DAYS             0
REPORT_STEP          00:15:00
WET_STEP             00:05:00
DRY_STEP             00:30:00
ROUTING_STEP         00:00:30
INERTIAL_DAMPING     FULL
NORMAL_FLOW_LIMITED  BOTH
VARIABLE_STEP        0
LENGTHENING_STEP     30
MIN_SURFAREA         1.2
MAX_TRIALS           8
HEAD_TOLERANCE       0.002
"""


@dataclass(frozen=True)
class Place:
    """A C-Town junction: where it is and how high the ground lies (m)."""

    name: str
    x: float
    y: float
    ground_m: float


@dataclass
class Manhole:
    """An invented manhole: where it drains to, how deep it is, what it collects."""

    place: Place
    drains_to: str
    length_m: float
    area_ha: float
    invert_m: float = 0.0
    total_area_ha: float = 0.0
    slope: float = 0.0
    diameter_m: float = 0.0

    @property
    def name(self) -> str:
        """J511's manhole is M511."""
        return "M" + self.place.name.removeprefix("J")


def read_places(text: str) -> list[Place]:
    """Read the junctions of an EPANET file with their elevations and coordinates."""
    rows: dict[str, list[list[str]]] = {}
    section = ""
    for line in text.splitlines():
        tokens = line.split(";")[0].split()
        if tokens and tokens[0].startswith("["):
            section = tokens[0].strip("[]").upper()
        elif tokens:
            rows.setdefault(section, []).append(tokens)
    at = {name: (float(x), float(y)) for name, x, y in rows["COORDINATES"]}
    return [Place(row[0], *at[row[0]], float(row[1])) for row in rows["JUNCTIONS"]]


def distance_m(one: Place, other: Place) -> float:
    """Return the distance between two places."""
    return math.hypot(one.x - other.x, one.y - other.y)


def spread(places: list[Place], count: int) -> list[Place]:
    """Choose `count` places, beginning with the lowest, each next one the farthest from those chosen."""
    chosen = [min(places, key=lambda place: (place.ground_m, place.name))]
    gap = {place: distance_m(place, chosen[0]) for place in places}
    while len(chosen) < count:
        chosen.append(max(places, key=lambda place: (gap[place], place.name)))
        gap = {place: min(gap[place], distance_m(place, chosen[-1])) for place in places}
    return chosen


def lay_out(places: list[Place], rng: random.Random) -> dict[str, Manhole]:
    """Let every place drain along the cheapest way to one of two outfalls; return manholes, those nearest first."""
    first = places[0]
    second = min(
        (place for place in places if distance_m(place, first) > OUTFALLS_APART_M), key=lambda place: place.ground_m
    )
    near = {place: sorted(places, key=lambda other: distance_m(place, other))[1 : NEIGHBOURS + 1] for place in places}
    reached_by: dict[Place, list[Place]] = {place: list(near[place]) for place in places}
    for place in places:
        for other in near[place]:
            reached_by[other].append(place)
    manholes: dict[str, Manhole] = {}
    queue = [(0.0, place.name, place, f"OUT{n}", OUTFALL_LENGTH_M) for n, place in enumerate((first, second), 1)]
    while queue:
        cost, _, place, drains_to, length_m = heapq.heappop(queue)
        if place.name in manholes:
            continue
        manholes[place.name] = Manhole(place, drains_to, length_m, rng.uniform(*AREA_HA))
        for above in dict.fromkeys(reached_by[place]):
            length = max(distance_m(above, place), 20.0)
            climb = max(place.ground_m - above.ground_m, 0.0)
            heapq.heappush(queue, (cost + length + CLIMB_COST * climb, above.name, above, place.name, length))
    return manholes


def dig(manholes: dict[str, Manhole]) -> None:
    """Set inverts and areas from the tops down, so that every sewer falls and lies deep enough."""
    for manhole in manholes.values():
        manhole.invert_m = manhole.place.ground_m - COVER_M
    for manhole in reversed(list(manholes.values())):  # tops first
        manhole.total_area_ha += manhole.area_ha
        below = manholes.get(manhole.drains_to)
        if below is not None:
            below.total_area_ha += manhole.total_area_ha
            below.invert_m = min(below.invert_m, manhole.invert_m - MIN_SLOPE * manhole.length_m)
    for manhole in manholes.values():
        below = manholes.get(manhole.drains_to)
        fall = manhole.invert_m - below.invert_m if below else OUTFALL_DROP_M
        manhole.slope = fall / manhole.length_m


def full_flow_m3s(diameter_m: float, slope: float) -> float:
    """Return what a full circular pipe carries (Manning)."""
    area_m2 = math.pi * diameter_m**2 / 4
    return area_m2 * math.pow(diameter_m / 4, 2 / 3) * math.sqrt(slope) / MANNING


def size(manholes: dict[str, Manhole], rng: random.Random) -> list[str]:
    """Choose the diameters, tops first; return the names of the manholes whose sewer is too small on purpose."""
    largest_above: dict[str, float] = {}
    for manhole in reversed(list(manholes.values())):
        rain_ms = rng.uniform(*DESIGN_RAIN_MMH) / 1000 / 3600
        design_m3s = rain_ms * manhole.total_area_ha * 1e4 * IMPERVIOUS
        least = largest_above.get(manhole.place.name, 0.0)
        fits = (d for d in DIAMETERS_M if d >= least and full_flow_m3s(d, manhole.slope) >= design_m3s)
        manhole.diameter_m = next(fits, DIAMETERS_M[-1])
        largest_above[manhole.drains_to] = max(largest_above.get(manhole.drains_to, 0.0), manhole.diameter_m)
    candidates = [m for m in manholes.values() if m.diameter_m >= DIAMETERS_M[UNDERSIZED_BY + 1]]
    small = rng.sample(sorted(candidates, key=lambda m: m.name), UNDERSIZED)
    for manhole in small:
        manhole.diameter_m = DIAMETERS_M[DIAMETERS_M.index(manhole.diameter_m) - UNDERSIZED_BY]
    return sorted(m.name for m in small)


def write_inp(manholes: dict[str, Manhole], undersized: list[str]) -> str:
    """Write the network as a SWMM input file."""
    outfalls = [m for m in manholes.values() if m.drains_to.startswith("OUT")]
    of = {m.place.name: m for m in manholes.values()}

    def table(section: str, rows: list[str]) -> str:
        return f"[{section}]\n" + "".join(row + "\n" for row in rows) + "\n"

    all_of = list(manholes.values())
    widths = {m.name: 10 * math.sqrt(m.area_ha * 100) for m in all_of}
    below = {m.name: of[m.drains_to].name if m.drains_to in of else m.drains_to for m in all_of}
    return (
        ";; SYNTHETIC: an invented storm sewer under C-Town, made by make_drainage.py (see there). No real network.\n"
        f";; {len(manholes)} manholes, M511 stands at C-Town's junction J511. Undersized on purpose: the sewers below\n"
        f";; {', '.join(undersized)}.\n"
        + table("TITLE", ["C-Town storm sewer (SYNTHETIC)"])
        + "[OPTIONS]\n" + OPTIONS + "\n"
        + table("EVAPORATION", ["CONSTANT 0.0", "DRY_ONLY NO"])
        + table("RAINGAGES", ["G1 INTENSITY 1:00 1.0 TIMESERIES DRY"])
        + table("SUBCATCHMENTS", [
            f"S{m.name[1:]} G1 {m.name} {m.area_ha:.3f} {100 * IMPERVIOUS:.0f} {widths[m.name]:.1f} 1.0 0"
            for m in all_of
        ])
        + table("SUBAREAS", [f"S{m.name[1:]} 0.015 0.2 1.0 4.0 25 OUTLET" for m in all_of])
        + table("INFILTRATION", [f"S{m.name[1:]} 60 10 4 3 0" for m in all_of])
        + table("JUNCTIONS", [f"{m.name} {m.invert_m:.3f} {m.place.ground_m - m.invert_m:.3f} 0 0 0" for m in all_of])
        + table("OUTFALLS", [f"{m.drains_to} {m.invert_m - OUTFALL_DROP_M:.3f} FREE NO" for m in outfalls])
        + table("CONDUITS", [
            f"C{m.name[1:]} {m.name} {below[m.name]} {m.length_m:.1f} {MANNING} 0 0 0 0" for m in all_of
        ])
        + table("XSECTIONS", [f"C{m.name[1:]} CIRCULAR {m.diameter_m} 0 0 0 1" for m in all_of])
        + table("DWF", [f"{m.name} FLOW 0.3" for m in all_of])
        + table("TIMESERIES", ["DRY 0:00 0.0"])
        + table("REPORT", ["SUBCATCHMENTS NONE", "NODES NONE", "LINKS NONE"])
        + table("COORDINATES", [
            *(f"{m.name} {m.place.x:.2f} {m.place.y:.2f}" for m in all_of),
            *(f"{m.drains_to} {m.place.x - OUTFALL_LENGTH_M:.2f} {m.place.y:.2f}" for m in outfalls),
        ])
    )  # fmt: skip


def main() -> None:
    """Write drainage.inp."""
    rng = random.Random(SEED)
    places = read_places((HERE / "CTOWN.INP").read_text(encoding="utf-8"))
    manholes = lay_out(spread(places, MANHOLES), rng)
    dig(manholes)
    undersized = size(manholes, rng)
    (HERE / "drainage.inp").write_text(write_inp(manholes, undersized), encoding="utf-8")


if __name__ == "__main__":
    main()
