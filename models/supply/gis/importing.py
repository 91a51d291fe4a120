"""A network from the layers of a GIS: read, connected, looked at, and written as an INP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.supply.gis.elements import Element, elements_of
from models.supply.gis.features import Feature, Layer, read_geojson
from models.supply.gis.geopackage import read_geopackage
from models.supply.gis.ground import ground_of
from models.supply.gis.mapping import GisMapping, LayerMapping, read_mapping
from models.supply.gis.problems import ACCEPTABLE, Problem, ProblemKind
from models.supply.gis.rest import Rest, read_rest
from models.supply.gis.topology import Topology, parallel
from models.supply.gis.writing import InpWriter, units_of
from twin.errors import InputError

_SAME_CRS = {"OGC:CRS84": "EPSG:4326"}


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of the layers: the INP (empty if they make no network), how many elements of each kind were read,
    what is wrong with them, and which links lie side by side (they are kept).
    """

    inp: str
    elements: Mapping[str, int]
    problems: tuple[Problem, ...]
    parallel: tuple[tuple[str, ...], ...]

    @property
    def in_the_way(self) -> tuple[Problem, ...]:
        """The problems that must be mended before there is a network."""
        return tuple(problem for problem in self.problems if problem.kind not in ACCEPTABLE)


def import_gis(path: Path) -> Imported:
    """Read a mapping file and the layers that it names.

    Raises:
        InputError: If a file is missing or is not what it should be; the message names it.
    """
    mapping = read_mapping(path)
    rest = _rest_of(mapping)
    elements, problems = [], []
    for layer in mapping.layers:
        try:
            found, wrong = elements_of(layer, _features(mapping, layer))
        except InputError as error:
            raise InputError(f"{layer.kind} ({layer.file.name}): {error}") from error
        elements += found
        problems += wrong
    nodes, twice = _by_id(element for element in elements if element.is_node)
    links, twice_too = _by_id(element for element in elements if not element.is_node)
    problems += [*twice, *twice_too]
    points = [point for element in elements for point in element.points]
    topology = Topology(nodes, ground_of(mapping.crs, points), mapping.snap_m)
    connected = [joined for link in links.values() if (joined := topology.connect(link)) is not None]
    topology.look_at(connected)
    problems += topology.problems
    imported = Imported(
        "", Counter(element.layer for element in elements), tuple(problems), tuple(map(tuple, parallel(connected)))
    )
    if imported.in_the_way:
        return imported
    units = units_of(mapping.flow_units, rest.pressure, rest.specific_gravity)
    inp = InpWriter(units, mapping.headloss).text(nodes, connected)
    return Imported(f"{inp}\n{rest.text}[END]\n", imported.elements, imported.problems, imported.parallel)


def _rest_of(mapping: GisMapping) -> Rest:
    if mapping.rest is None:
        return Rest()
    rest, name = read_rest(mapping.rest), mapping.rest.name
    if rest.flow_units is not None and rest.flow_units is not mapping.flow_units:
        raise InputError(f"{name} is in {rest.flow_units.name}, the mapping says {mapping.flow_units.name}; which?")
    if rest.headloss and rest.headloss != mapping.headloss:
        raise InputError(f"{name} says headloss {rest.headloss}, the mapping {mapping.headloss}; which?")
    return rest


def _features(mapping: GisMapping, layer: LayerMapping) -> Iterable[Feature]:
    read = _layer(layer)
    crs, own = (_SAME_CRS.get(name, name) for name in (mapping.crs, read.crs))
    if own and crs.startswith("EPSG") and own != crs:
        raise InputError(f"its reference system is {own}, the mapping says {crs}; reproject one of them")
    return read.features


def _layer(layer: LayerMapping) -> Layer:
    if layer.file.suffix.lower() == ".gpkg":
        return read_geopackage(layer.file, layer.layer)
    return read_geojson(layer.file)


def _by_id(elements: Iterable[Element]) -> tuple[dict[str, Element], list[Problem]]:
    """Return elements by id, the first of each, and a problem for every other. EPANET tells ids by their case."""
    found: dict[str, Element] = {}
    problems = []
    for element in elements:
        first = found.setdefault(element.element_id, element)
        if first is not element:
            text = f"{first.layer} has one of this id already"
            problems.append(Problem(ProblemKind.DUPLICATE_ID, element.layer, element.element_id, element.place, text))
    return found, problems
