"""A town of three nodes as layers, for tests of what is read from them.

R (100, 0) --P1-- A (0, 0) --P2-- B (0, 300), in metres of EPSG:3763.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.supply.gis.importing import Imported, import_gis

MAPPING = """
crs = "EPSG:3763"
flow_units = "LPS"
snap_m = 0.5
[junctions]
file = "junctions.geojson"
id = "name"
elevation = "z"
elevation_unit = "m"
demand = "use"
demand_unit = "m3/h"
[reservoirs]
file = "reservoirs.geojson"
id = "name"
head = "z"
head_unit = "m"
[pipes]
file = "pipes.geojson"
id = "name"
diameter = "dn"
diameter_unit = "mm"
roughness = 130
"""
Feature = dict[str, Any]


def a_point(name: object, x: float, y: float, **properties: Any) -> Feature:
    return _feature("Point", [x, y], name, properties)


def a_line(name: object, *points: tuple[float, float], **properties: Any) -> Feature:
    return _feature("LineString", [list(point) for point in points], name, {"dn": 100, **properties})


def _feature(kind: str, coordinates: list[Any], name: object, properties: dict[str, Any]) -> Feature:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": {"name": name, **properties}}


JUNCTIONS = [a_point("A", 0, 0, z=20.0, use=3.6), a_point("B", 0, 300, z=25.0, use=7.2)]
RESERVOIRS = [a_point("R", 100, 0, z=60.0)]
PIPES = [a_line("P1", (100, 0), (0, 0)), a_line("P2", (0, 0), (0, 300))]


def imported(
    folder: Path,
    junctions: Sequence[Feature] = JUNCTIONS,
    reservoirs: Sequence[Feature] = RESERVOIRS,
    pipes: Sequence[Feature] = PIPES,
    mapping: str = MAPPING,
) -> Imported:
    """Write the layers and read them."""
    for name, features in (("junctions", junctions), ("reservoirs", reservoirs), ("pipes", pipes)):
        layer = {"type": "FeatureCollection", "features": list(features)}
        (folder / f"{name}.geojson").write_text(json.dumps(layer))
    (folder / "mapping.toml").write_text(mapping)
    return import_gis(folder / "mapping.toml")
