"""Layers become a network or a list of what is wrong with them: on a town drawn by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from gis_town import JUNCTIONS, MAPPING, PIPES, RESERVOIRS, a_line, a_point, imported
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.supply.gis.ground import geodesic_m
from models.supply.gis.importing import import_gis
from twin.errors import InputError


def rows(inp: str, section: str) -> list[list[str]]:
    lines = inp.split(f"[{section}]\n")[1].split("\n[")[0].splitlines()
    return [line.split() for line in lines if line]


def test_what_is_drawn_is_written_in_the_units_of_the_inp(tmp_path: Path) -> None:
    found = imported(tmp_path)
    assert found.problems == ()
    assert found.elements == {"junctions": 2, "reservoirs": 1, "pipes": 2}
    # 3.6 m3/h are 1 L/s; a pipe without a length is as long as it is drawn
    assert rows(found.inp, "JUNCTIONS") == [["A", "20", "1"], ["B", "25", "2"]]
    assert rows(found.inp, "RESERVOIRS") == [["R", "60"]]
    assert rows(found.inp, "PIPES") == [
        ["P1", "R", "A", "100", "100", "130", "0", "OPEN"],
        ["P2", "A", "B", "300", "100", "130", "0", "OPEN"],
    ]
    assert rows(found.inp, "COORDINATES") == [["A", "0", "0"], ["B", "0", "300"], ["R", "100", "0"]]


def test_us_units_are_written_too(tmp_path: Path) -> None:
    found = imported(tmp_path, mapping=MAPPING.replace('"LPS"', '"GPM"'))
    (name, start, end, length, diameter, *_) = rows(found.inp, "PIPES")[0]
    assert (name, start, end) == ("P1", "R", "A")
    assert float(length) == pytest.approx(100 / 0.3048)
    assert float(diameter) == pytest.approx(100 / 25.4)
    assert float(rows(found.inp, "JUNCTIONS")[0][2]) == pytest.approx(15.850323)  # 1 L/s


def test_degrees_are_measured_on_the_ellipsoid(tmp_path: Path) -> None:
    # one degree of latitude from the equator is 110,574.389 m on WGS 84 (published value)
    assert geodesic_m((0.0, 0.0), (0.0, 1.0)) == pytest.approx(110_574.389, abs=0.001)
    assert geodesic_m((0.0, 0.0), (1.0, 0.0)) == pytest.approx(111_319.491, abs=0.001)
    nodes = [a_point("A", -8.61, 41.15, z=20.0), a_point("B", -8.61, 41.151, z=25.0)]
    reservoir = [a_point("R", -8.611, 41.15, z=60.0)]
    pipes = [a_line("P1", (-8.611, 41.15), (-8.61, 41.15)), a_line("P2", (-8.61, 41.15), (-8.61, 41.151))]
    mapping = MAPPING.replace("EPSG:3763", "EPSG:4326").replace('demand = "use"\ndemand_unit = "m3/h"\n', "")
    found = imported(tmp_path, nodes, reservoir, pipes, mapping)
    assert found.problems == ()
    lengths = [float(row[3]) for row in rows(found.inp, "PIPES")]
    assert lengths == pytest.approx([83.907, 111.057], abs=0.05)  # at 41.15 degrees: 83,907 and 111,057 m a degree


@pytest.mark.parametrize(
    ("junctions", "pipes", "expected"),
    [
        pytest.param(
            JUNCTIONS, [*PIPES, a_line("P3", (0, 0), (0, 301))], [("unconnected_end", "pipes", "P3")],
            id="an end a metre beside its node, within no tolerance",
        ),
        pytest.param(
            JUNCTIONS, [PIPES[0], a_line("P2", (0, 0.3), (0, 300))], [], id="an end within the tolerance is joined"
        ),
        pytest.param(
            JUNCTIONS, [*PIPES, a_line("P1", (0, 0), (0, 300))], [("duplicate_id", "pipes", "P1")], id="two of one id"
        ),
        pytest.param(
            [*JUNCTIONS, a_point("R", 100, 0, z=1.0)], PIPES, [("duplicate_id", "reservoirs", "R")],
            id="a junction called like a reservoir",
        ),
        pytest.param(
            JUNCTIONS, [*PIPES, a_line("P3", (0, 0), (50, 50), (0, 0.1))], [("loop", "pipes", "P3")],
            id="a pipe back to its start",
        ),
        pytest.param(
            JUNCTIONS, [*PIPES, a_line("P3", (0, 0), (0, 300), length=0)], [("bad_value", "pipes", "P3")],
            id="a length of nothing",
        ),
        pytest.param(
            [*JUNCTIONS, a_point("C", 900, 900, z=1.0)], PIPES, [("unconnected_node", "junctions", "C")],
            id="a node that no link meets",
        ),
        pytest.param(
            JUNCTIONS, [*PIPES, a_line("P3", (0, 0), (0, 300), dn=None)], [("missing_value", "pipes", "P3")],
            id="no diameter",
        ),
        pytest.param(
            JUNCTIONS, [*PIPES, a_line("P3", (0, 0), (0, 300), dn=-5)], [("bad_value", "pipes", "P3")],
            id="a diameter below nothing",
        ),
        pytest.param(
            JUNCTIONS, [*PIPES, a_line("a pipe", (0, 0), (0, 300))], [("bad_value", "pipes", "a pipe")],
            id="a name that an INP cannot hold",
        ),
        pytest.param(
            JUNCTIONS, [*PIPES, a_point("P3", 0, 0, dn=100)], [("bad_geometry", "pipes", "P3")],
            id="a pipe that is a point",
        ),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_told_and_nothing_written(
    tmp_path: Path, junctions: list[Any], pipes: list[Any], expected: list[tuple[str, str, str]]
) -> None:
    mapping = MAPPING.replace("roughness = 130", 'roughness = 130\nlength = "length"\nlength_unit = "m"')
    pipes = [{**pipe, "properties": {"length": None, **pipe["properties"]}} for pipe in pipes]
    found = imported(tmp_path, junctions, RESERVOIRS, pipes, mapping)
    assert [(problem.kind, problem.layer, problem.element_id) for problem in found.in_the_way] == expected
    assert (found.inp == "") is bool(expected)


@pytest.mark.parametrize(
    ("junctions", "pipes", "expected"),
    [
        pytest.param(
            [*JUNCTIONS, a_point("C", 50, -50, z=1.0), a_point("D", 50, 50, z=1.0)],
            [*PIPES, a_line("P3", (50, -50), (50, 50)), a_line("P4", (50, 50), (0, 0))],
            [("crossing", "P1")],
            id="pipes that cross without a node",
        ),
        pytest.param(
            [*JUNCTIONS, a_point("C", 0, 100, z=1.0), a_point("D", 40, 100, z=1.0)],
            [*PIPES, a_line("P3", (0, 100), (40, 100)), a_line("P4", (40, 100), (100, 0))],
            [("node_on_pipe", "P2")],
            id="a pipe that passes a node",
        ),
        pytest.param(
            [*JUNCTIONS, a_point("C", 500, 500, z=1.0), a_point("D", 500, 600, z=1.0)],
            [*PIPES, a_line("P3", (500, 500), (500, 600))],
            [("island", "C")],
            id="a part without a source",
        ),
    ],
)
def test_what_may_be_meant_is_told_and_written(
    tmp_path: Path, junctions: list[Any], pipes: list[Any], expected: list[tuple[str, str]]
) -> None:
    found = imported(tmp_path, junctions, RESERVOIRS, pipes)
    assert [(problem.kind, problem.element_id) for problem in found.problems] == expected
    assert "P3" in found.inp


def test_parallel_pipes_are_kept_and_told(tmp_path: Path) -> None:
    found = imported(tmp_path, pipes=[*PIPES, a_line("P3", (0, 0), (20, 150), (0, 300))])
    assert found.parallel == (("P2", "P3"),)
    assert [row[0] for row in rows(found.inp, "PIPES")] == ["P1", "P2", "P3"]
    assert float(rows(found.inp, "PIPES")[2][3]) == pytest.approx(2 * math.hypot(20, 150))
    assert rows(found.inp, "VERTICES") == [["P3", "20", "150"]]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = imported(tmp_path, pipes=[a_line("P1", (7, 7), (0, 0)), a_line("P1", (0, 0), (0, 300), dn=0)])
    assert len(found.in_the_way) >= 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("EPSG:3763", "Lisbon"), "crs must be"),
        (('elevation_unit = "m"\n', ""), r"\[junctions\] lacks elevation_unit"),
        (('elevation_unit = "m"', 'elevation_unit = "bar"'), "bar is not a unit of length"),
        (('elevation = "z"', 'elevation = "height"'), "there is no column 'height'; the layer has name, use, z"),
        (('file = "pipes.geojson"', 'file = "tubes.geojson"'), "there is no file .*tubes.geojson"),
        (("roughness = 130", "roughnes = 130"), "roughnes, which means nothing"),
        (("snap_m = 0.5", "snap_m = 500"), "snap_m must be from 0 to 100"),
        (("snap_m = 0.5", "snap_m = "), "mapping.toml: "),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_by_name(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert change[0] in MAPPING
    with pytest.raises(InputError, match=words):
        imported(tmp_path, mapping=MAPPING.replace(*change))


def test_a_mapping_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mapping.toml cannot be read: No such file"):
        import_gis(tmp_path / "mapping.toml")


def test_degrees_in_a_projection_are_noticed(tmp_path: Path) -> None:
    nodes = [a_point("A", -8.61, 41.15, z=1.0, use=0), a_point("B", -8.61, 41.151, z=1.0, use=0)]
    pipes = [a_line("P2", (-8.61, 41.15), (-8.61, 41.151))]
    with pytest.raises(InputError, match="look like degrees"):
        imported(tmp_path, nodes, [], pipes)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "geometry", "coordinates", "properties", "features", "name", "z", "use"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(features=st.lists(JUNK, max_size=3), junk=st.binary(max_size=200), as_bytes=st.booleans())
def test_junk_in_a_layer_is_a_problem_or_refused_and_never_a_crash(
    tmp_path: Path, features: list[Any], junk: bytes, as_bytes: bool
) -> None:
    imported(tmp_path)
    layer = {"type": "FeatureCollection", "features": [*JUNCTIONS, *features]}
    (tmp_path / "junctions.geojson").write_bytes(junk if as_bytes else json.dumps(layer).encode())
    try:
        found = import_gis(tmp_path / "mapping.toml")
    except InputError:
        return
    assert (found.inp == "") is bool(found.in_the_way)
