"""A network as layers: what EPANET reads from an INP, in SI, and an INP of the rest beside them.

Read back with the mapping written here the layers give the same network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.supply.epanet import HeadLossFormula, LinkType, LinkValue, NodeType, NodeValue, Option, Project, PumpType
from models.supply.gis.elements import SETTING_OF_VALVE
from models.supply.gis.features import Point
from models.supply.gis.ground import SCHEMATIC
from models.supply.gis.mapping import FIELDS, HEADLOSSES, Meaning
from models.supply.gis.rest import divided
from models.supply.gis.writing import HORSEPOWER_W, PRESSURES
from models.supply.inp import vet_inp
from models.supply.intake import open_checked
from twin.errors import InputError

REST_FILE = "rest.inp"
MAPPING_FILE = "mapping.toml"
_SI = {Meaning.LENGTH: "m", Meaning.PRESSURE: "m", Meaning.FLOW: "m3/s", Meaning.VOLUME: "m3", Meaning.POWER: "W"}
_LAYER_OF_NODE = {NodeType.JUNCTION: "junctions", NodeType.RESERVOIR: "reservoirs", NodeType.TANK: "tanks"}
_TANK = {
    "elevation": NodeValue.ELEVATION,
    "initial_level": NodeValue.INITIAL_LEVEL,
    "minimum_level": NodeValue.MINIMUM_LEVEL,
    "maximum_level": NodeValue.MAXIMUM_LEVEL,
    "diameter": NodeValue.TANK_DIAMETER,
}
_THOUSANDTH = 1e-3
_KILOWATT_W = 1000.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """The rows of each layer (with their points), the INP of the rest, and the mapping that reads both back."""

    layers: Mapping[str, list[tuple[tuple[Point, ...], Row]]]
    rest: str
    mapping: str


def export_gis(inp: bytes, crs: str = SCHEMATIC) -> Exported:
    """Return the layers of an INP whose coordinates are in `crs`; runs in an engine worker.

    Raises:
        InputError: If the INP is refused, has nodes without coordinates, or valves that layers cannot hold.
    """
    text = vet_inp(inp)
    rest, _ = divided(text)
    with open_checked(text) as project:
        layers: dict[str, list[tuple[tuple[Point, ...], Row]]] = {layer: [] for layer in FIELDS}
        points = _points(project)
        for layer, at, row in _nodes(project):
            layers[layer].append(((points[at],), row))
        start, end = project.link_ends()
        for n, (layer, row) in enumerate(_links(project)):
            line = (points[int(start[n])], *project.vertices(n + 1), points[int(end[n])])
            layers[layer].append((line, row))
        units = project.units
        headloss = HEADLOSSES[HeadLossFormula(int(project.option(Option.HEAD_LOSS_FORMULA)))]
        options = f"[OPTIONS]\nUNITS {units.flow_units.name}\nPRESSURE {PRESSURES[units.pressure_units]}\n"
    layers = {layer: rows for layer, rows in layers.items() if rows}
    mapping = _mapping(layers, crs, units.flow_units.name, headloss)
    return Exported(layers, f"{rest.text}{options}HEADLOSS {headloss}\n[END]\n", mapping)


def _points(project: Project) -> list[Point]:
    found = [project.coordinates(node) for node in range(1, project.node_count + 1)]
    if None in found:
        name, without = project.node_ids()[found.index(None)], found.count(None)
        raise InputError(f"node {name} has no coordinates ({without} nodes have none): there is nothing to draw")
    return [point for point in found if point is not None]


def _nodes(project: Project) -> Iterator[tuple[str, int, Row]]:
    metre = project.units.length_m
    for n, (name, kind) in enumerate(zip(project.node_ids(), project.node_types(), strict=True)):
        node = n + 1
        if kind is NodeType.JUNCTION:
            base, pattern = project.demands(node)[0] if project.demands(node) else (0.0, 0)
            row: Row = {
                "elevation": project.node_value(node, NodeValue.ELEVATION) * metre,
                "demand": base * project.units.flow_m3s,
                "pattern": project.pattern_id(pattern),
            }
        elif kind is NodeType.RESERVOIR:
            row = {
                "head": project.node_value(node, NodeValue.ELEVATION) * metre,
                "pattern": project.pattern_id(int(project.node_value(node, NodeValue.PATTERN))),
            }
        else:
            row = {of: project.node_value(node, what) * metre for of, what in _TANK.items()} | {
                "minimum_volume": _minimum_volume(project, node),
                "volume_curve": project.curve_id(int(project.node_value(node, NodeValue.VOLUME_CURVE))),
                "overflow": "yes" if project.node_value(node, NodeValue.CAN_OVERFLOW) else "",
            }
        yield _LAYER_OF_NODE[kind], n, {"id": name, **row}


def _minimum_volume(project: Project, node: int) -> float | None:
    """Return the volume below a tank's lowest level (m3), None where it is just that of the cylinder."""
    volume = project.node_value(node, NodeValue.MINIMUM_VOLUME)
    diameter, level = (project.node_value(node, of) for of in (NodeValue.TANK_DIAMETER, NodeValue.MINIMUM_LEVEL))
    if math.isclose(volume, math.pi / 4 * diameter**2 * level, rel_tol=1e-9, abs_tol=1e-9):
        return None
    return volume * project.units.volume_m3


def _links(project: Project) -> Iterator[tuple[str, Row]]:
    names, nodes, (start, end) = project.link_ids(), project.node_ids(), project.link_ends()
    for n, kind in enumerate(project.link_types()):
        row: Row = {"id": names[n], "start": nodes[int(start[n])], "end": nodes[int(end[n])]}
        if kind in (LinkType.PIPE, LinkType.CVPIPE):
            yield "pipes", row | _pipe(project, n + 1, kind)
        elif kind is LinkType.PUMP:
            yield "pumps", row | _pump(project, n + 1)
        else:
            yield "valves", row | _valve(project, n + 1, kind, names[n])


def _pipe(project: Project, link: int, kind: LinkType) -> Row:
    is_open = project.link_value(link, LinkValue.INITIAL_STATUS) > 0
    return {
        "length": project.link_value(link, LinkValue.LENGTH) * project.units.length_m,
        "diameter": project.link_value(link, LinkValue.DIAMETER) * project.units.diameter_m,
        "roughness": project.link_value(link, LinkValue.ROUGHNESS) * _roughness_m(project),
        "minor_loss": project.link_value(link, LinkValue.MINOR_LOSS),
        "status": "CV" if kind is LinkType.CVPIPE else "OPEN" if is_open else "CLOSED",
    }


def _roughness_m(project: Project) -> float:
    """Return what a roughness is multiplied with: that of Darcy-Weisbach is a length, in thousandths."""
    formula = HeadLossFormula(int(project.option(Option.HEAD_LOSS_FORMULA)))
    return project.units.length_m * _THOUSANDTH if formula is HeadLossFormula.DARCY_WEISBACH else 1.0


def _pump(project: Project, link: int) -> Row:
    is_open = project.link_value(link, LinkValue.INITIAL_STATUS) > 0
    speed = project.link_value(link, LinkValue.INITIAL_SETTING)  # 0 where the pump is closed at first
    row: Row = {
        "speed": speed or None,
        "pattern": project.pattern_id(int(project.link_value(link, LinkValue.SPEED_PATTERN))),
        "status": "OPEN" if is_open else "CLOSED",
    }
    if project.pump_type(link) is PumpType.CONSTANT_POWER:
        unit_w = _KILOWATT_W if project.units.is_metric else HORSEPOWER_W
        return row | {"power": project.link_value(link, LinkValue.PUMP_POWER) * unit_w}
    return row | {"curve": project.curve_id(int(project.link_value(link, LinkValue.HEAD_CURVE)))}


def _valve(project: Project, link: int, kind: LinkType, name: str) -> Row:
    if kind.name not in SETTING_OF_VALVE:
        raise InputError(f"valve {name} is a {kind.name}, which layers cannot hold")
    setting = project.link_value(link, LinkValue.INITIAL_SETTING)
    of = SETTING_OF_VALVE[kind.name]
    factor = {"pressure": 1 / project.units.engine_pressure(1.0), "flow": project.units.flow_m3s}.get(of, 1.0)
    status = project.link_value(link, LinkValue.INITIAL_STATUS)
    return {
        "type": kind.name,
        "diameter": project.link_value(link, LinkValue.DIAMETER) * project.units.diameter_m,
        of: project.curve_id(int(setting)) if of == "curve" else setting * factor,
        "minor_loss": project.link_value(link, LinkValue.MINOR_LOSS),
        "status": ("CLOSED", "OPEN", "ACTIVE")[int(status)],
    }


def _mapping(layers: Mapping[str, Any], crs: str, flow_units: str, headloss: str) -> str:
    lines = [f'crs = "{crs}"', f'flow_units = "{flow_units}"', f'headloss = "{headloss}"', f'rest = "{REST_FILE}"']
    for layer in layers:
        lines += ["", f"[{layer}]", f'file = "{layer}.geojson"', 'id = "id"']
        for name, meaning in FIELDS[layer].items():
            if not any(name in row for _, row in layers[layer]):
                continue
            is_length = name == "roughness" and headloss == "D-W"
            unit = "m" if is_length else _SI.get(meaning, "")
            lines.append(f'{name} = "{name}"')
            lines += [f'{name}_unit = "{unit}"'] if unit else []
    return "\n".join([*lines, ""])
