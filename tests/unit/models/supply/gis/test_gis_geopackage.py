"""Layers of a GeoPackage that is built here from the tables of the standard (OGC 12-128r19) and WKB by hand."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from gis_town import MAPPING, imported
from hypothesis import given
from hypothesis import strategies as st

from models.supply.gis.geopackage import read_geometry, read_geopackage
from models.supply.gis.importing import import_gis
from twin.errors import InputError

Point = tuple[float, ...]


def wkb(kind: int, points: Sequence[Point], order: str = "<") -> bytes:
    head = struct.pack(f"{order}BI", order == "<", kind)
    count = b"" if kind % 1000 == 1 else struct.pack(f"{order}I", len(points))
    return head + count + b"".join(struct.pack(f"{order}{len(point)}d", *point) for point in points)


def geometry(body: bytes, *, envelope: int = 0) -> bytes:
    sizes = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
    return b"GP\0" + bytes([1 | envelope << 1]) + struct.pack("<i", 3763) + bytes(sizes[envelope]) + body


def write(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER PRIMARY KEY, organization TEXT,
                organization_coordsys_id INTEGER, definition TEXT);
            CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, geometry_type_name TEXT,
                srs_id INTEGER, z INTEGER, m INTEGER);
            CREATE TABLE junctions (fid INTEGER PRIMARY KEY, geom BLOB, name TEXT, z REAL, use REAL);
            CREATE TABLE reservoirs (fid INTEGER PRIMARY KEY, geom BLOB, name TEXT, z REAL);
            CREATE TABLE pipes (fid INTEGER PRIMARY KEY, geom BLOB, name TEXT, dn INTEGER);
            INSERT INTO gpkg_spatial_ref_sys VALUES ('TM06', 3763, 'EPSG', 3763, 'PROJCS["TM06",UNIT["metre",1]]');
            INSERT INTO gpkg_geometry_columns VALUES ('junctions', 'geom', 'POINT', 3763, 0, 0),
                ('reservoirs', 'geom', 'POINT', 3763, 0, 0), ('pipes', 'geom', 'LINESTRING', 3763, 2, 0);
            """
        )
        nodes = [
            ("A", geometry(wkb(1, [(0, 0)])), 20.0, 3.6),
            ("B", geometry(wkb(1001, [(0, 300, 9)], ">")), 25.0, 7.2),
        ]
        database.executemany("INSERT INTO junctions (name, geom, z, use) VALUES (?, ?, ?, ?)", nodes)
        database.execute("INSERT INTO reservoirs (name, geom, z) VALUES ('R', ?, 60)", [geometry(wkb(1, [(100, 0)]))])
        many = struct.pack("<BII", 1, 5, 1) + wkb(2, [(0, 0), (0, 300)])
        lines = [("P1", geometry(wkb(2, [(100, 0), (0, 0)]), envelope=1)), ("P2", geometry(many))]
        database.executemany("INSERT INTO pipes (name, geom, dn) VALUES (?, ?, 100)", lines)
        database.commit()


def test_a_geopackage_gives_the_network_that_geojson_gives(tmp_path: Path) -> None:
    by_geojson = imported(tmp_path)
    write(tmp_path / "town.gpkg")
    mapping = MAPPING
    for layer in ("junctions", "reservoirs", "pipes"):
        mapping = mapping.replace(f'file = "{layer}.geojson"', f'file = "town.gpkg"\nlayer = "{layer}"')
    (tmp_path / "mapping.toml").write_text(mapping)
    assert import_gis(tmp_path / "mapping.toml") == by_geojson


def test_what_is_no_geopackage_and_what_is_not_in_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.gpkg").write_bytes(b"not a database at all" * 100)
    with pytest.raises(InputError, match=r"broken.gpkg is not a GeoPackage that can be read"):
        read_geopackage(tmp_path / "broken.gpkg", "pipes")
    write(tmp_path / "town.gpkg")
    with pytest.raises(InputError, match="has no layer 'tubes'; it has junctions, pipes, reservoirs"):
        read_geopackage(tmp_path / "town.gpkg", "tubes")
    with pytest.raises(InputError, match="there is no file"):
        read_geopackage(tmp_path / "none.gpkg", "pipes")


def test_another_reference_system_than_the_mapping_says_is_refused(tmp_path: Path) -> None:
    imported(tmp_path)
    write(tmp_path / "town.gpkg")
    mapping = MAPPING.replace("EPSG:3763", "EPSG:25829").replace(
        'file = "pipes.geojson"', 'file = "town.gpkg"\nlayer = "pipes"'
    )
    (tmp_path / "mapping.toml").write_text(mapping)
    with pytest.raises(InputError, match="its reference system is EPSG:3763, the mapping says EPSG:25829"):
        import_gis(tmp_path / "mapping.toml")


@given(blob=st.binary(max_size=120) | st.binary(max_size=100).map(lambda body: b"GP\0\1\0\0\0\0" + body))
def test_any_bytes_are_a_geometry_or_refused(blob: bytes) -> None:
    try:
        points, kind = read_geometry(blob)
    except (ValueError, struct.error, IndexError):
        return
    assert kind
    assert all(len(point) == 2 for point in points)
