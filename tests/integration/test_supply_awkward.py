"""Networks that look right and are not: each a clear error, never a forecast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from supply_networks import ONE_TANK, a_request

from models.pool import EnginePool
from models.supply.epanet import Project
from models.supply.inp import vet_inp
from models.supply.loader import load_network
from models.supply.model import EpanetSupply
from models.supply.open_supply import OpenSupply
from models.supply.run import run_network
from models.supply.simulation import run
from twin.errors import InputError, ModelError
from twin.network import LinkKind, NodeKind


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as pool:
        yield pool


def changed(old: str, new: str) -> bytes:
    assert old in ONE_TANK
    return ONE_TANK.replace(old, new).encode()


@pytest.mark.parametrize(
    ("inp", "cause"),
    [
        pytest.param(
            changed("P2 T J 100", "P2 T NOWHERE 100"), r"line 12: EPANET says: .*NOWHERE", id="undefined node"
        ),
        pytest.param(changed("P3 J K 100 400", "P3 J K 100 wide"), r"line 13: EPANET says", id="no number"),
        pytest.param(changed("Units LPS", "Units FURLONGS"), "EPANET says", id="unknown unit"),
        pytest.param(changed("Units LPS", "Hydraulics save x"), "line 26: option Hydraulics save", id="file access"),
        pytest.param(b"\x00\x01\x02", "zero bytes", id="binary"),
        pytest.param(b"[JUNCTIONS]\nJ 1 1\n", "EPANET|WNTR", id="no source at all"),
    ],
)
def test_malformed_networks_are_refused_with_the_line(inp: bytes, cause: str, pool: EnginePool) -> None:
    with pytest.raises(InputError, match=cause):
        load_network(inp, pool)
    with pytest.raises(InputError, match=cause):
        EpanetSupply(inp, pool, model_id="bad").run(a_request({}))


def test_impossible_heads_are_a_model_error(pool: EnginePool) -> None:
    # A demand no pipe of 1 mm can carry: EPANET runs "without error" and gives heads far below -1e5 m.
    inp = changed("P3 J K 100 400", "P3 J K 100000 1")
    with pytest.raises(ModelError, match=r"node \w+ has a head of -.* not plausible"):
        run_network(inp, pool, hours=1)


def test_a_run_over_the_time_limit_is_a_model_error(pool: EnginePool) -> None:
    with pytest.raises(ModelError, match=r"too long|took longer"):
        run_network(ONE_TANK.encode(), pool, hours=24 * 366, time_limit_s=0.05)


def test_the_network_is_si_whatever_the_units(pool: EnginePool) -> None:
    network = load_network(ONE_TANK.encode(), pool)
    assert network.nodes["J"].elevation_m == pytest.approx(20.0)
    assert (network.nodes["J"].x, network.nodes["K"].x) == (1.0, None)
    assert (network.nodes["T"].kind, network.links["PU"].kind) == (NodeKind.TANK, LinkKind.PUMP)
    assert network.links["P2"].diameter_m == pytest.approx(0.4)
    american = load_network(changed("Units LPS", "Units GPM"), pool)
    assert american.nodes["J"].elevation_m == pytest.approx(20 * 0.3048)
    assert american.links["P2"].diameter_m == pytest.approx(400 * 0.0254)
    assert american.links["P2"].length_m == pytest.approx(100 * 0.3048)


def test_a_run_that_ends_early_is_a_model_error(tmp_path: Path) -> None:
    # With UNBALANCED STOP EPANET ends after the first step that did not converge, with a warning and no error.
    text = vet_inp(changed("Unbalanced Continue 10", "Unbalanced Stop\nTrials 2\nAccuracy 0.00001"))
    with Project(text, tmp_path) as project, pytest.raises(ModelError, match=r"ended early, at \d+ s of 86400 s"):
        list(project.steps())


def test_a_run_that_does_not_converge_is_a_model_error(tmp_path: Path) -> None:
    inp = changed("Unbalanced Continue 10", "Unbalanced Continue 0\nTrials 1\nAccuracy 0.00001")
    supply = OpenSupply(vet_inp(inp), tmp_path)
    with pytest.raises(ModelError, match="hydraulically unbalanced"), supply.setup() as setup:
        run(setup, wall_limit_s=10)
