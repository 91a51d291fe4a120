"""Reading a layer of a GeoPackage (OGC 12-128r19): an SQLite file whose geometries are WKB behind a short header.

Read with the standard library, read-only and without trusting what the file defines itself (views, triggers).
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from models.supply.gis.features import Feature, Layer, Point, checked, line_of_parts
from twin.errors import InputError

_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
_POINT, _LINE, _MANY_POINTS, _MANY_LINES = 1, 2, 4, 5
_KINDS = {0: "any geometry", 3: "a Polygon", 6: "a MultiPolygon", 7: "a GeometryCollection"}
_WGS84 = 4326


def read_geopackage(path: Path, layer: str) -> Layer:
    """Read one layer; `layer` may be empty if the file has one only.

    Raises:
        InputError: If the file is missing or no GeoPackage, or has no such layer; the message names those it has.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            table, column, srs = _table(database, path.name, layer)
            return Layer(tuple(_features(database, table, column)), _crs(database, srs))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not a GeoPackage that can be read: {error}") from error


def _table(database: sqlite3.Connection, name: str, layer: str) -> tuple[str, str, int]:
    """Return table, geometry column and reference system of a layer."""
    rows = database.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns").fetchall()
    known = {str(table): (str(table), str(column), int(srs)) for table, column, srs in rows}
    if not layer and len(known) == 1:
        return next(iter(known.values()))
    if layer not in known:
        raise InputError(f"{name} has no layer {layer!r}; it has {', '.join(sorted(known)) or 'none'}")
    return known[layer]


def _features(database: sqlite3.Connection, table: str, geometry: str) -> Iterator[Feature]:
    rows = database.execute(f"SELECT * FROM {_quoted(table)} ORDER BY rowid")
    names = [description[0] for description in rows.description]
    at = next(n for n, name in enumerate(names) if name.lower() == geometry.lower())
    for number, row in enumerate(rows, start=1):
        properties = {name: value for n, (name, value) in enumerate(zip(names, row, strict=True)) if n != at}
        try:
            points, kind = read_geometry(row[at])
        except (struct.error, ValueError, TypeError) as error:
            yield Feature(number, (), properties, f"its geometry cannot be read: {error}")
        else:
            yield checked(number, points, properties, kind)


def _crs(database: sqlite3.Connection, srs: int) -> str:
    """Return the layer's reference system as `EPSG:code`.

    Raises:
        InputError: If its definition counts in other units than metres or degrees.
    """
    row = database.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (srs,)
    ).fetchone()
    if row is None or str(row[0]).upper() != "EPSG":
        return "EPSG:4326" if srs == _WGS84 else ""
    definition = str(row[2]).upper()
    if "PROJCS" in definition and not any(metre in definition for metre in ('UNIT["METRE"', 'UNIT["METER"')):
        raise InputError(f"the layer's reference system EPSG:{row[1]} is not in metres; reproject it")
    return f"EPSG:{row[1]}"


def read_geometry(blob: object) -> tuple[tuple[Point, ...], str]:
    """Return the points of a GeoPackage geometry, and what it is in words; no points if it is no line or point.

    Raises:
        ValueError: If it is no geometry.
        struct.error: If it ends too early.
    """
    if not isinstance(blob, bytes) or blob[:2] != b"GP":
        raise ValueError("it is no GeoPackage geometry")
    flags = blob[3]
    if flags & 0x10:
        return (), "empty"
    envelope = (flags >> 1) & 0x07
    if envelope not in _ENVELOPE_BYTES:
        raise ValueError("its envelope is of no known kind")
    points, kind, _ = _wkb(blob, 8 + _ENVELOPE_BYTES[envelope])
    return points, kind


def _wkb(blob: bytes, at: int) -> tuple[tuple[Point, ...], str, int]:
    """Read the geometry at an offset; return its points, what it is, and the offset behind it."""
    order = "<" if blob[at : at + 1] == b"\1" else ">"
    (code,) = struct.unpack_from(f"{order}I", blob, at + 1)
    kind, dimensions = _kind_of(code)
    at += 5
    if kind == _POINT:
        points, at = _positions(blob, at, order, 1, dimensions)
        return points, "a Point", at
    if kind not in (_LINE, _MANY_POINTS, _MANY_LINES):
        return (), _KINDS.get(kind, f"of type {kind}"), at
    (count,) = struct.unpack_from(f"{order}I", blob, at)
    at += 4
    if kind == _LINE:
        points, at = _positions(blob, at, order, count, dimensions)
        return points, "a LineString", at
    parts = []
    for _ in range(count):
        part, _, at = _wkb(blob, at)
        parts.append(part)
    if kind == _MANY_LINES:
        return line_of_parts(parts), "a MultiLineString of separate parts", at
    return (parts[0] if count == 1 else ()), "a MultiPoint", at


def _kind_of(code: int) -> tuple[int, int]:
    """Return the type of a geometry and how many numbers a position has (ISO and EWKB codes of Z and M)."""
    extended, plain = code >> 29, code & 0x0FFFFFFF
    dimensions = {0: 2, 1: 3, 2: 3, 3: 4}.get(plain // 1000)
    if dimensions is None:
        raise ValueError(f"type {code} is not known")
    return plain % 1000, dimensions + (extended >> 2 & 1) + (extended >> 1 & 1)


def _positions(blob: bytes, at: int, order: str, count: int, dimensions: int) -> tuple[tuple[Point, ...], int]:
    size = 8 * dimensions * count
    if at + size > len(blob):
        raise ValueError("it ends too early")
    numbers = struct.unpack_from(f"{order}{dimensions * count}d", blob, at)
    return tuple(zip(numbers[::dimensions], numbers[1::dimensions], strict=True)), at + size


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
