"""Networks as layers and back: what EPANET computes must not change, and WNTR must read the same elements."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import wntr
from command_line import CommandLine
from gis_town import MAPPING, PIPES, a_line, imported
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.commands.supply_gis import write_layers
from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.facts import ModelFacts
from models.supply.gis.exporting import export_gis
from models.supply.gis.importing import import_gis
from models.supply.inp import vet_inp
from models.supply.loader import LoadedModel, load_model
from models.supply.open_supply import OpenSupply
from models.supply.results import Results
from models.supply.simulation import prepare_times, run
from twin.errors import InputError

LIBRARY = Path(str(files("wntr"))) / "library" / "networks"
NETWORKS = [SUPPLY_INP, *(LIBRARY / f"{name}.inp" for name in ("Net1", "Net2", "Net3", "ky4", "ky10"))]

EVERYTHING = """
[JUNCTIONS]
A 50 0
B 20 3 DAY
C 20 1
D 15 2
[RESERVOIRS]
R 60 HEADS
[TANKS]
T 60 3 1 5 8 0 VOL YES
[PIPES]
P1 A T 100.5 400 {roughness} 0.7 Open
P2 T B 100 400 {roughness} 0 CV
P3 B C 100 400 {roughness} 0 Closed
[PUMPS]
PU R A HEAD C1 SPEED 0.95 PATTERN DAY
PV R A POWER 8
[VALVES]
V1 B C 200 PRV 30 0.5
V2 C D 200 FCV 4 0
V3 B D 200 TCV 3 0
V4 C D 200 GPV LOSS 0
[STATUS]
PV Closed
V3 Open
[DEMANDS]
D 1 DAY
D 2
[CURVES]
C1 50 20
VOL 0 0
VOL 6 300
LOSS 0 0
LOSS 100 5
[PATTERNS]
DAY 0.5 1.5 1.2 0.8
HEADS 1 1.05
[CONTROLS]
LINK PV OPEN IF NODE T BELOW 1.2
[ENERGY]
Global Price 0.2
[TIMES]
Duration 24:00
Pattern Timestep 6:00
[OPTIONS]
Units {units}
Headloss {headloss}
{pressure}
[COORDINATES]
A 1 1
B 3.25 1
C 4 1
D 5 2
R 0 0
T 2 2
[VERTICES]
P3 3.5 1.5
P3 3.75 1.25
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as pool:
        yield pool


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def there_and_back(h2twin: CommandLine, inp: bytes, folder: Path) -> bytes:
    """Export a network, read the layers, and return the INP that comes of them."""
    (folder / "town.inp").write_bytes(inp)
    answer = h2twin("supply", "export-gis", folder / "town.inp", "--out", folder / "layers")
    assert answer.code == 0, answer.err
    mapping, out = folder / "layers" / "mapping.toml", folder / "back.inp"
    answer = h2twin("supply", "import-gis", mapping, "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["written"] is True
    return out.read_bytes()


def ran(inp: bytes, folder: Path) -> tuple[ModelFacts, Results]:
    folder.mkdir()
    supply = OpenSupply(vet_inp(inp), folder)
    clock = supply.facts.clock
    with supply.setup() as setup:
        prepare_times(
            setup, duration_s=86_400, pattern_start_s=clock.pattern_start_s, start_clock_s=clock.start_clock_s
        )
        results = run(setup, wall_limit_s=60.0)
    supply.close()
    return supply.facts, results


@pytest.mark.filterwarnings("ignore::UserWarning:wntr")
@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_the_network_that_comes_back_is_the_one_that_went(h2twin: CommandLine, path: Path, tmp_path: Path) -> None:
    back = there_and_back(h2twin, path.read_bytes(), tmp_path)
    (facts, results), (facts_back, results_back) = ran(path.read_bytes(), tmp_path / "a"), ran(back, tmp_path / "b")
    assert (facts_back.node_ids, facts_back.link_ids) == (facts.node_ids, facts.link_ids)
    assert facts_back.tanks == facts.tanks
    assert facts_back.controls == facts.controls
    assert np.array_equal(facts_back.demands.base_m3s, facts.demands.base_m3s)
    assert np.abs(results_back.head_m - results.head_m).max() < 1e-6
    assert np.abs(results_back.flow_m3s - results.flow_m3s).max() < 1e-9
    one, other = (wntr.network.WaterNetworkModel(str(file)) for file in (path, tmp_path / "back.inp"))
    for kind in ("pipe", "pump", "valve", "tank", "reservoir", "junction"):
        names = getattr(one, f"{kind}_name_list")
        assert getattr(other, f"{kind}_name_list") == names
        for name in names:
            there, here = (
                model.get_node(name) if kind in ("tank", "reservoir", "junction") else model.get_link(name)
                for model in (one, other)
            )
            for of in ("length", "diameter", "roughness", "minor_loss", "elevation", "init_level", "min_level"):
                expected = getattr(there, of, None)
                assert expected is None or getattr(here, of) == pytest.approx(expected, rel=1e-9), (name, of)


@pytest.mark.filterwarnings("ignore::UserWarning:wntr")
@pytest.mark.parametrize("units", ["LPS", "GPM", "CMH", "MLD", "CFS"])
@pytest.mark.parametrize(
    ("headloss", "roughness", "pressure"), [("H-W", 130, ""), ("D-W", 0.25, "Pressure kPa"), ("C-M", 0.012, "")]
)
def test_every_kind_of_element_in_every_kind_of_unit(
    h2twin: CommandLine, units: str, headloss: str, roughness: float, pressure: str, tmp_path: Path
) -> None:
    inp = EVERYTHING.format(units=units, headloss=headloss, roughness=roughness, pressure=pressure).encode()
    back = there_and_back(h2twin, inp, tmp_path)
    one, other = (wntr.network.WaterNetworkModel(str(tmp_path / name)) for name in ("town.inp", "back.inp"))
    for name in one.link_name_list:
        for of in ("length", "diameter", "roughness", "minor_loss", "power", "speed", "initial_setting", "valve_type"):
            there, here = (
                getattr(model.get_link(name), f"_{of}" if of == "speed" else of, None) for model in (one, other)
            )
            assert here == (pytest.approx(there, rel=1e-9) if isinstance(there, float) else there), (name, of)
    assert other.get_link("P2").check_valve
    assert str(other.get_link("P3").initial_status) == "Closed"
    assert other.get_link("P3").vertices == [(3.5, 1.5), (3.75, 1.25)]
    assert b" VOL YES\n" in back
    assert other.get_node("R").head_pattern_name == "HEADS"
    assert other.get_node("B").coordinates == (3.25, 1)
    assert [demand.base_value for demand in other.get_node("D").demand_timeseries_list] == pytest.approx(
        [demand.base_value for demand in one.get_node("D").demand_timeseries_list]
    )
    assert back.count(b"LINK PV OPEN IF NODE T BELOW 1.2") == 1


def test_what_is_in_the_way_is_listed_and_nothing_written(h2twin: CommandLine, tmp_path: Path) -> None:
    imported(tmp_path, pipes=[*PIPES, a_line("P3", (0, 0), (0, 400))])
    out = tmp_path / "town.inp"
    answer = h2twin("supply", "import-gis", str(tmp_path / "mapping.toml"), "--out", str(out), "--json")
    assert answer.code == 3
    (problem,) = answer.json["problems"]
    assert (problem["kind"], problem["element_id"], problem["in_the_way"]) == ("unconnected_end", "P3", True)
    assert "the nearest is B, 100.00 m away" in problem["text"]
    assert "1 problems are in the way" in answer.err
    assert not out.exists()
    plain = h2twin("supply", "import-gis", str(tmp_path / "mapping.toml"), "--out", str(out))
    assert "its end meets no node" in plain.out.replace("\n", " ")


def test_what_epanet_would_refuse_is_refused_and_nothing_written(h2twin: CommandLine, tmp_path: Path) -> None:
    imported(tmp_path, reservoirs=[], pipes=PIPES[1:])
    out = tmp_path / "town.inp"
    answer = h2twin("supply", "import-gis", str(tmp_path / "mapping.toml"), "--out", str(out))
    assert answer.code == 3
    assert "no tanks or reservoirs" in answer.err
    assert not out.exists()


def test_a_folder_that_holds_something_is_not_written_into(h2twin: CommandLine) -> None:
    answer = h2twin("supply", "export-gis", str(SUPPLY_INP), "--out", str(SUPPLY_INP.parent))
    assert answer.code == 3
    assert "is not an empty folder" in answer.err


def test_nodes_without_coordinates_cannot_be_drawn(pool: EnginePool) -> None:
    inp = EVERYTHING.format(units="LPS", headloss="H-W", roughness=130, pressure="").replace("T 2 2\n", "")
    with pytest.raises(InputError, match=r"node T has no coordinates \(1 nodes have none\)"):
        pool.run(export_gis, inp.encode())


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("[PIPES]\nP9 A B 1 1 1\n", r"rest.inp holds \[PIPES\], which come from layers"),
        ("[OPTIONS]\nUnits GPM\n", "rest.inp is in GPM, the mapping says LPS"),
        ("[NONSENSE]\n", "section .NONSENSE. is not one of EPANET's"),
        (None, "rest.inp cannot be read"),
    ],
)
def test_a_rest_that_does_not_fit_is_refused(tmp_path: Path, rest: str | None, words: str) -> None:
    if rest is not None:
        (tmp_path / "rest.inp").write_text(rest)
    with pytest.raises(InputError, match=words):
        imported(tmp_path, mapping='rest = "rest.inp"\n' + MAPPING)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_trees_of_pipes_come_back_as_they_went(tmp_path: Path, pool: EnginePool, data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 12))
    number = st.floats(0.001, 5000).map(lambda value: float(f"{value:.6g}"))
    units = data.draw(st.sampled_from(["LPS", "GPM", "MLD", "AFD"]))
    junctions = [f"J{n} {data.draw(number)} {data.draw(number)}" for n in range(nodes)]
    pipes = [
        f"P{n} {'R' if n == 0 else f'J{data.draw(st.integers(0, n - 1))}'} J{n} "
        f"{data.draw(number)} {1 + data.draw(number)} {data.draw(number)} {data.draw(number)}"
        for n in range(nodes)
    ]
    places = [f"J{n} {data.draw(number)} {-data.draw(number)}" for n in range(nodes)]
    inp = "\n".join(
        ["[JUNCTIONS]", *junctions, "[RESERVOIRS]", "R 10", "[PIPES]", *pipes, "[COORDINATES]", "R 0 0", *places,
         "[OPTIONS]", f"Units {units}", "[END]", ""]
    )  # fmt: skip
    exported = pool.run(export_gis, inp.encode())
    folder = tmp_path / "layers"
    write_layers(exported, folder)
    back = import_gis(folder / "mapping.toml").inp
    one, other = (load_model(text.encode(), pool) for text in (inp, back))
    assert _shape(other) == _shape(one)
    assert np.allclose(_numbers(other), _numbers(one), rtol=1e-11, atol=0.0)


def _shape(model: LoadedModel) -> list[tuple[object, ...]]:
    nodes = [(node.node_id, node.kind) for node in model.network.nodes.values()]
    return [*nodes, *((one.link_id, one.start_node_id, one.end_node_id) for one in model.network.links.values())]


def _numbers(model: LoadedModel) -> list[float]:
    nodes, links = model.network.nodes.values(), model.network.links.values()
    places = [value for node in nodes for value in (node.elevation_m, node.x, node.y) if value is not None]
    pipes = [value for link in links for value in (link.length_m, link.diameter_m) if value is not None]
    return [*places, *pipes, *model.facts.demands.base_m3s.tolist()]
