"""Every INP comes in this way: vetted, read by EPANET, and looked at for sense before anything is asked of it.

EPANET reads `nan`, and pipes of a ten-thousandth of a millimetre, without complaint, and gives pressures of -1e36 m.
What no network has is refused here, with the line: the file is blamed at once, and not, hours later, a forecast.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.supply.connectivity import Arcs
from models.supply.epanet import LinkType, LinkValue, NodeType, NodeValue, Project
from models.supply.inp_lines import line_of
from twin.errors import InputError

Flags = NDArray[np.bool_]

_THIN_M = 1e-3
_HIGHEST_M = 1e4
_NODES = ("[JUNCTIONS]", "[RESERVOIRS]", "[TANKS]")
_LINKS = ("[PIPES]", "[PUMPS]", "[VALVES]")
_PIPES = (LinkType.PIPE, LinkType.CVPIPE)


def open_checked(text: str, folder: Path | None = None) -> Project:
    """Open a vetted INP whose data make sense; the caller closes the project.

    Raises:
        InputError: If EPANET cannot read it, or its data are of no network; the message names the line.
    """
    project = Project(text, folder)
    try:
        _check_nodes(project, text)
        _check_links(project, text)
        project.check_whole(text)
    except BaseException:
        project.close()
        raise
    return project


def _check_nodes(project: Project, text: str) -> None:
    def refuse(at: int, what: str) -> InputError:
        return _refusal(text, _NODES, "node", project.node_ids()[at], what)

    metre = project.units.length_m
    elevation_m = project.node_values(NodeValue.ELEVATION) * metre
    if (at := _first(~(np.abs(elevation_m) < _HIGHEST_M))) is not None:
        raise refuse(at, f"has an elevation of {elevation_m[at]:g} m, which is nowhere on earth")
    if (at := _first(~np.isfinite(project.node_values(NodeValue.EMITTER)))) is not None:
        raise refuse(at, "has an emitter without a finite coefficient")
    for node, kind in enumerate(project.node_types(), start=1):
        if kind is NodeType.TANK:
            values = [project.node_value(node, what) for what in _TANK_VALUES]
            if not np.isfinite(values).all():
                raise refuse(node - 1, "has a level, diameter or volume that is not a finite number")
        elif kind is NodeType.JUNCTION and not np.isfinite([base for base, _ in project.demands(node)]).all():
            raise refuse(node - 1, "has a demand that is not a finite number")


_TANK_VALUES = (
    NodeValue.INITIAL_LEVEL,
    NodeValue.MINIMUM_LEVEL,
    NodeValue.MAXIMUM_LEVEL,
    NodeValue.TANK_DIAMETER,
    NodeValue.MINIMUM_VOLUME,
)


def _check_links(project: Project, text: str) -> None:
    is_pipe = np.isin(np.array(project.link_types()), _PIPES)
    values = {what: project.link_values(what) for what in (LinkValue.LENGTH, LinkValue.DIAMETER, LinkValue.ROUGHNESS)}
    for kind, of in values.items():
        if (at := _first(is_pipe & ~np.isfinite(of))) is not None:
            name = project.link_ids()[at]
            raise _refusal(text, _LINKS, "pipe", name, f"has a {kind.name.lower()} that is not a finite number")
    for what in (LinkValue.MINOR_LOSS, LinkValue.INITIAL_SETTING):
        if (at := _first(~np.isfinite(project.link_values(what)))) is not None:
            name = project.link_ids()[at]
            raise _refusal(text, _LINKS, "link", name, "has a loss, speed or setting that is not a finite number")
    _check_diameters(project, text, is_pipe & (values[LinkValue.DIAMETER] * project.units.diameter_m < _THIN_M))


def _check_diameters(project: Project, text: str, thin: Flags) -> None:
    """Refuse pipes of no width that consumers hang on; where there is another way they stand for what is not built."""
    if not thin.any():
        return
    kinds = np.array(project.node_types())
    wants = np.array([any(base > 0 for base, _ in project.demands(n)) for n in range(1, len(kinds) + 1)])
    arcs = Arcs(*project.link_ends(), one_way=np.zeros_like(thin), nodes=len(kinds))
    sources = kinds != NodeType.JUNCTION
    cut = wants & ~sources & arcs.reached(sources, np.ones_like(thin)) & ~arcs.reached(sources, ~thin)
    if (node := _first(cut)) is None:
        return
    at = int(np.flatnonzero(thin)[0])
    diameter_mm = project.link_value(at + 1, LinkValue.DIAMETER) * project.units.diameter_m * 1000
    what = (
        f"has a diameter of {diameter_mm:g} mm, {int(thin.sum())} pipes have one below 1 mm, and node "
        f"{project.node_ids()[node]} gets its water through such pipes alone: put in the real diameters"
    )
    raise _refusal(text, _LINKS, "pipe", project.link_ids()[at], what)


def _first(wrong: Flags) -> int | None:
    found = np.flatnonzero(wrong)
    return int(found[0]) if len(found) else None


def _refusal(text: str, sections: tuple[str, ...], kind: str, name: str, what: str) -> InputError:
    number = line_of(text, sections, name)
    return InputError(f"{f'line {number}: ' if number else ''}{kind} {name} {what}")
