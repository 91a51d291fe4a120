"""A feature of a layer as it came, and the reading of GeoJSON (RFC 7946).

Only what a network is drawn with is read: points, and lines in one piece. Everything else is a feature without a
geometry that can be used, and is said to be one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from twin.errors import InputError

Point = tuple[float, float]

_LARGEST_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Feature:
    """Row `number` (from 1) of a layer: one point, or the points of a line in order, and its attributes.

    `flaw` says why there is no geometry, if there is none.
    """

    number: int
    points: tuple[Point, ...]
    properties: Mapping[str, object] = field(default_factory=dict)
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """The features of a layer, and the reference system that the file names (empty if it names none)."""

    features: tuple[Feature, ...]
    crs: str = ""


def read_geojson(path: Path) -> Layer:
    """Read a FeatureCollection.

    Raises:
        InputError: If the file is missing, too large, or no GeoJSON.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    if path.stat().st_size > _LARGEST_BYTES:
        raise InputError(f"{path.name} has more than {_LARGEST_BYTES} bytes; use a GeoPackage")
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {error}") from error
    rows = content.get("features") if isinstance(content, dict) else None
    if not isinstance(rows, list) or content.get("type") != "FeatureCollection":
        raise InputError(f"{path.name} is not a GeoJSON FeatureCollection")
    return Layer(tuple(_feature(row, number) for number, row in enumerate(rows, start=1)), _named_crs(content))


def line_of_parts(parts: Sequence[Sequence[Point]]) -> tuple[Point, ...]:
    """Return the one line that the parts of a multi-line make, end to end; empty if they make none."""
    line: list[Point] = list(parts[0]) if parts else []
    for part in parts[1:]:
        if not line or not part or part[0] != line[-1]:
            return ()
        line.extend(part[1:])
    return tuple(line)


def checked(number: int, points: Sequence[Point], properties: Mapping[str, object], kind: str) -> Feature:
    """Return a feature, with its flaw if its points cannot be used."""
    if not points:
        return Feature(number, (), properties, f"its geometry is {kind}, not a point or a line in one piece")
    if not all(math.isfinite(value) for point in points for value in point):
        return Feature(number, (), properties, "its coordinates are not finite numbers")
    return Feature(number, tuple(points), properties)


def _feature(row: object, number: int) -> Feature:
    if not isinstance(row, dict):
        return Feature(number, (), flaw="it is not a GeoJSON feature")
    properties = row.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    geometry = row.get("geometry")
    if not isinstance(geometry, dict):
        return Feature(number, (), properties, "it has no geometry")
    kind, coordinates = str(geometry.get("type")), geometry.get("coordinates")
    try:
        points = _points(kind, coordinates)
    except (TypeError, ValueError, IndexError, OverflowError):
        return Feature(number, (), properties, f"its {kind} has no proper coordinates")
    return checked(number, points, properties, kind)


def _points(kind: str, coordinates: object) -> tuple[Point, ...]:
    if kind == "Point":
        return (_point(coordinates),)
    if kind == "LineString":
        return tuple(_point(each) for each in _listed(coordinates))
    if kind == "MultiLineString":
        return line_of_parts([[_point(each) for each in _listed(part)] for part in _listed(coordinates)])
    if kind == "MultiPoint" and len(_listed(coordinates)) == 1:
        return (_point(_listed(coordinates)[0]),)
    return ()


def _point(value: object) -> Point:
    x, y = _listed(value)[:2]
    return _coordinate(x), _coordinate(y)


def _coordinate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("coordinates are numbers")
    return float(value)


def _listed(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("coordinates are lists")
    return value


def _named_crs(content: Mapping[str, object]) -> str:
    """Return the reference system of the member `crs`, which files from before 2016 have, as `EPSG:code`."""
    crs = content.get("crs")
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = str(properties.get("name", "")) if isinstance(properties, dict) else ""
    if name.upper().endswith("CRS84"):
        return "EPSG:4326"
    code = name.rsplit(":", 1)[-1]
    return f"EPSG:{code}" if "EPSG" in name.upper() and code.isdecimal() else ""


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
