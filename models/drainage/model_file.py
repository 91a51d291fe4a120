"""A drainage model as h2twin needs to know it: units, gages, areas, nodes and links, and the key of its states."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from models.drainage.cleaning import clean
from models.drainage.engine_units import DEFAULT_FLOW_UNITS, EngineUnits, units_of
from models.drainage.inp import InpFile, Line, parse_inp
from models.drainage.inp_times import read_clock_hours, read_date
from twin.errors import InputError
from twin.network import Link, LinkKind, Network, NetworkKind, Node, NodeKind

T = TypeVar("T")

_NODE_KINDS = {
    "JUNCTIONS": NodeKind.JUNCTION,
    "OUTFALLS": NodeKind.OUTFALL,
    "STORAGE": NodeKind.STORAGE,
    "DIVIDERS": NodeKind.DIVIDER,
}
_LINK_KINDS = {
    "CONDUITS": LinkKind.CONDUIT,
    "PUMPS": LinkKind.PUMP,
    "ORIFICES": LinkKind.ORIFICE,
    "WEIRS": LinkKind.WEIR,
    "OUTLETS": LinkKind.OUTLET,
}
# What a saved state lies in: the water of another geometry, or in another order, is another water.
_STATE_SECTIONS = (
    "OPTIONS", "SUBCATCHMENTS", "SUBAREAS", "INFILTRATION", "AQUIFERS", "GROUNDWATER", "SNOWPACKS", "LID_CONTROLS",
    "LID_USAGE", *_NODE_KINDS, *_LINK_KINDS, "XSECTIONS", "TRANSECTS", "LOSSES", "CURVES", "STREETS", "INLETS",
    "INLET_USAGE",
)  # fmt: skip
_DIVIDER_PARAMETERS = {"CUTOFF": 1, "TABULAR": 1, "WEIR": 3}
_ROUND_PIPES = ("CIRCULAR", "FORCE_MAIN", "FILLED_CIRCULAR")


@dataclass(frozen=True, slots=True)
class Gage:
    """A rain gage of the model: its id, its snow catch factor as written, and the series its rain came from."""

    gage_id: str
    snow_factor: str
    series_name: str


@dataclass(frozen=True, slots=True)
class DrainageModelFile:
    """What the input file says, cleaned. `ponded_nodes` can keep water above their rim (ALLOW_PONDING and an area)."""

    inp: InpFile
    notes: tuple[str, ...]
    sha256: str
    units: EngineUnits
    file_start: datetime
    gages: tuple[Gage, ...]
    area_of_gage: Mapping[str, float]
    total_area: float
    network: Network
    allow_ponding: bool
    ponded_nodes: frozenset[str]

    @property
    def gage_ids(self) -> list[str]:
        """The ids of the rain gages in order."""
        return [gage.gage_id for gage in self.gages]

    def state_key(self, engine: str) -> str:
        """Return the name of what a saved state of this model and engine belongs to.

        It hashes the engine version, the options and the ordered objects with their geometry: SWMM's hot start holds
        bare numbers by index, so a state of anything else would be read without complaint and be wrong.
        """
        digest = hashlib.sha256(engine.encode())
        for section in self.inp.sections:
            if section.name in _STATE_SECTIONS:
                digest.update(f"\n[{section.name}]".encode())
                for line in section.lines:
                    digest.update(("\n" + "\t".join(line.tokens).upper()).encode())
        return digest.hexdigest()

    def restart_weaknesses(self) -> tuple[str, ...]:
        """Return in words what SWMM's hot start does not carry over in this model."""
        weaknesses = []
        if any(self.inp.lines("LID_USAGE")):
            weaknesses.append("the water in LID units is not part of SWMM's saved state: each warm start empties them")
        if any(self.inp.lines("RDII")):
            weaknesses.append("rain-dependent inflow (RDII) of earlier rain is not part of SWMM's saved state")
        if any("SIMULATION" in (token.upper() for token in line.tokens) for line in self.inp.lines("CONTROLS")):
            weaknesses.append("controls on SIMULATION TIME count from the start of each run, not of the chain")
        return tuple(weaknesses)


def read_model(content: bytes) -> DrainageModelFile:
    """Read and clean a SWMM input file.

    Raises:
        InputError: If it is malformed, or rests on files that are not here; the message names the line.
    """
    parsed = parse_inp(content)
    inp, notes = clean(parsed)
    options = {line.tokens[0].upper(): line.tokens[1] for line in parsed.lines("OPTIONS")}
    units = units_of(options.get("FLOW_UNITS", DEFAULT_FLOW_UNITS))
    gages = tuple(_read_each(inp, _gage, "RAINGAGES"))
    area_of_gage, total_area = _areas(inp, gages)
    allow_ponding = options.get("ALLOW_PONDING", "NO").upper() == "YES"
    return DrainageModelFile(
        inp=inp,
        notes=notes,
        sha256=hashlib.sha256(content).hexdigest(),
        units=units,
        file_start=_file_start(options),
        gages=gages,
        area_of_gage=area_of_gage,
        total_area=total_area,
        network=_network(inp, units),
        allow_ponding=allow_ponding,
        ponded_nodes=frozenset(_ponded(inp)) if allow_ponding else frozenset(),
    )


def _read_each(inp: InpFile, read: Callable[[Line], T], *sections: str) -> Iterator[T]:
    for line in inp.lines(*sections):
        try:
            yield read(line)
        except (IndexError, ValueError) as error:
            raise InputError(
                f"line {line.number}: {' '.join(line.tokens)!r} is no complete line of [{sections[0]}]"
            ) from error


def _file_start(options: Mapping[str, str]) -> datetime:
    try:
        start = read_date(options.get("START_DATE", "01/01/2004"))
        return start + timedelta(hours=read_clock_hours(options.get("START_TIME", "0:00:00")))
    except ValueError as error:
        raise InputError(f"START_DATE or START_TIME of the model: {error}") from error


def _gage(line: Line) -> Gage:
    tokens = line.tokens
    return Gage(tokens[0], tokens[3], tokens[5] if tokens[4].upper() == "TIMESERIES" else "")


def _areas(inp: InpFile, gages: tuple[Gage, ...]) -> tuple[dict[str, float], float]:
    by_id = {gage.gage_id.casefold(): gage.gage_id for gage in gages}
    areas = dict.fromkeys(by_id.values(), 0.0)
    total = 0.0
    for number, gage_id, area in _read_each(
        inp, lambda line: (line.number, line.tokens[1], float(line.tokens[3])), "SUBCATCHMENTS"
    ):
        total += area
        if gage_id == "*":
            continue
        if gage_id.casefold() not in by_id:
            raise InputError(f"line {number}: rain gage {gage_id!r} is not in [RAINGAGES]")
        areas[by_id[gage_id.casefold()]] += area
    return areas, total


def _ponded(inp: InpFile) -> Iterator[str]:
    """Yield the nodes with a ponded area: the last column of junctions and dividers (SWMM 5.2's storage has none)."""
    for line in inp.lines("JUNCTIONS"):
        if _has_area(line, 5):
            yield line.tokens[0]
    for line in inp.lines("DIVIDERS"):
        if len(line.tokens) > 3 and _has_area(line, 7 + _DIVIDER_PARAMETERS.get(line.tokens[3].upper(), 0)):
            yield line.tokens[0]


def _has_area(line: Line, column: int) -> bool:
    try:
        return len(line.tokens) > column and float(line.tokens[column]) > 0
    except ValueError as error:
        raise InputError(f"line {line.number}: ponded area {line.tokens[column]!r} is no number") from error


def _network(inp: InpFile, units: EngineUnits) -> Network:
    places = {
        node_id.casefold(): (x, y)
        for node_id, x, y in _read_each(
            inp, lambda line: (line.tokens[0], float(line.tokens[1]), float(line.tokens[2])), "COORDINATES"
        )
    }
    diameters = dict(_read_each(inp, lambda line: (line.tokens[0].casefold(), _diameter_m(line, units)), "XSECTIONS"))
    nodes: dict[str, Node] = {}
    links: dict[str, Link] = {}
    for section in inp.sections:
        for line in section.lines:
            if section.name in _NODE_KINDS:
                node = _node(line, _NODE_KINDS[section.name], units, places)
                nodes[node.node_id] = node
            elif section.name in _LINK_KINDS:
                link = _link(line, _LINK_KINDS[section.name], units, diameters)
                links[link.link_id] = link
    return Network(NetworkKind.DRAINAGE, nodes, links)


def _node(line: Line, kind: NodeKind, units: EngineUnits, places: Mapping[str, tuple[float, float]]) -> Node:
    try:
        x, y = places.get(line.tokens[0].casefold(), (None, None))
        return Node(line.tokens[0], kind, float(line.tokens[1]) * units.length_m, x, y)
    except (IndexError, ValueError) as error:
        raise InputError(f"line {line.number}: {' '.join(line.tokens)!r} states no node with an elevation") from error


def _link(line: Line, kind: LinkKind, units: EngineUnits, diameters: Mapping[str, float | None]) -> Link:
    try:
        link_id, start, end = line.tokens[:3]
        length_m = float(line.tokens[3]) * units.length_m if kind is LinkKind.CONDUIT else None
    except (IndexError, ValueError) as error:
        raise InputError(f"line {line.number}: {' '.join(line.tokens)!r} states no link between two nodes") from error
    return Link(link_id, kind, start, end, length_m, diameters.get(link_id.casefold()))


def _diameter_m(line: Line, units: EngineUnits) -> float | None:
    return float(line.tokens[2]) * units.length_m if line.tokens[1].upper() in _ROUND_PIPES else None
