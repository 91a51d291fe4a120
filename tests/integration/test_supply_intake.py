"""What WNTR stumbles over and EPANET reads is taken as it is; what makes no sense names its line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from supply_networks import ONE_TANK

from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.loader import load_network
from models.supply.run import run_network
from twin.errors import InputError, ModelError
from twin.network import LinkKind

WNTR_NETWORKS = Path(str(files("wntr"))) / "library" / "networks"

# The pump obeys the clock alone: closed from 6 in the morning to 8 in the evening.
CLOCK_RULES = ONE_TANK.split("[CONTROLS]")[0] + (
    "[RULES]\nRULE day\nIF SYSTEM CLOCKTIME >= 6 AM\nAND SYSTEM CLOCKTIME < 8 PM\nTHEN PUMP PU STATUS IS CLOSED\n"
    "ELSE PUMP PU STATUS IS OPEN\n"
    + ONE_TANK[ONE_TANK.index("[TIMES]") :].replace("Duration", "Start ClockTime 12 am\nDuration")
)
CHEMICAL_TIME = (
    ONE_TANK.replace("Units LPS", "Units LPS\nQuality Chemical TIME") + "[END]\n[PIPES]\nlost words\n[END]\n"
)
PADDED = (ONE_TANK + "P1 3 4\n[END]\n").encode() + b"\0" * 4096  # a coordinate of a node that is not there
NO_WIDTH = ONE_TANK.replace("P2 T J 100 400", "P2 T J 100 0.0001").replace("P3 J K 100 400", "P3 J K 100 0.0001")


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as pool:
        yield pool


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def wntr_model(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wntr

        return wntr.network.WaterNetworkModel(str(path))


@pytest.mark.parametrize(
    "inp",
    [
        pytest.param(CLOCK_RULES.encode(), id="rules on 6 AM"),
        pytest.param(CHEMICAL_TIME.encode(), id="chemical called TIME, and text behind the end"),
        pytest.param(PADDED, id="coordinates of no node, and a file padded with zeros"),
    ],
)
def test_what_wntr_cannot_read_is_read_by_epanet(inp: bytes, pool: EnginePool, tmp_path: Path) -> None:
    (tmp_path / "network.inp").write_bytes(inp)
    with pytest.raises(Exception):  # noqa: B017, PT011 - each time another one
        wntr_model(tmp_path / "network.inp")
    network = load_network(inp, pool)
    assert list(network.nodes) == ["A", "J", "K", "R", "T"]
    assert list(network.links) == ["P1", "P2", "P3", "PU"]
    assert run_network(inp, pool, hours=24)["hours"] == 24


def test_rules_on_6_am_do_what_they_say(pool: EnginePool) -> None:
    never_full = CLOCK_RULES.replace("5.0462650441", "50")
    pump = run_network(never_full.encode(), pool, hours=24)["links"]["PU"]["open"]
    assert [hour for hour, is_open in enumerate(pump) if not is_open] == list(range(6, 20))


def test_pipes_of_no_width_are_blamed_with_their_line(pool: EnginePool) -> None:
    with pytest.raises(InputError, match=r"line 12: pipe P2 has a diameter of 0.0001 mm, 2 pipes .* node J gets its"):
        load_network(NO_WIDTH.encode(), pool)


def test_pipes_of_no_width_beside_a_real_one_are_plans_and_stay(pool: EnginePool) -> None:
    planned = ONE_TANK.replace("P3 J K 100 400 130 0 Open", "P3 J K 100 400 130 0 Open\nP4 J K 100 0.0001 130 0 Open")
    assert len(load_network(planned.encode(), pool).links) == 5


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        pytest.param("P2 T J 100", "P2 T J nan", "line 12: pipe P2 has a length", id="length that is no number"),
        pytest.param("P2 T J 100 400 130", "P2 T J 9 9 inf", "line 12: pipe P2 has a roughness", id="roughness"),
        pytest.param("J 20 10", "J 1e999 10", "line 4: node J has an elevation of inf", id="elevation"),
        pytest.param("J 20 10", "J 20 nan", "line 4: node J has a demand", id="demand"),
        pytest.param("T 60 3", "T 60 nan", "line 9: node T has a level", id="tank"),
        pytest.param("T 60 3 1", "T 60 9 1", "line 9: EPANET says: Error 225", id="level above the tank"),
        pytest.param(
            "[RESERVOIRS]", "LONE 1 0\n[RESERVOIRS]", "line 6: EPANET says: Error 234.*LONE", id="unconnected"
        ),
        pytest.param("POWER 8", "HEAD C\n[CURVES]\nC 1 1\nC 0 5", "line 15: EPANET says: Error 227", id="pump curve"),
        pytest.param("K 20 5", "J 20 10", "line 5: EPANET says: Error 215", id="same node twice, second line named"),
        pytest.param(
            "[STATUS]",
            "[RULES]\nRULE 1\nIF TANK T LEVEL < 9\nTHEN PUMP PU STATUS IS OPEN\n"
            "RULE 2\nIF TANK T LEVEL < 9\nTHEN PUMP PX STATUS IS OPEN\n[STATUS]",
            "line 25: EPANET says: Input Error 204",
            id="clause of the second rule",
        ),
        pytest.param("Units LPS", "Quality Trace X", "line 26: EPANET says: Error 212", id="trace of no node"),
    ],
)
def test_what_makes_no_sense_names_its_line(old: str, new: str, cause: str, pool: EnginePool) -> None:
    assert old in ONE_TANK
    with pytest.raises(InputError, match=cause):
        load_network(ONE_TANK.replace(old, new).encode(), pool)


def test_every_way_in_says_the_same(h2twin: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "bad.inp"
    file.write_text(NO_WIDTH)
    answers = [
        h2twin("import", "network", file),
        h2twin("supply", "run", "--network", file, "--json"),
        h2twin("supply", "outage", "--network", file, "--close", "P2", "--json"),
    ]
    assert {answer.code for answer in answers} == {3}
    assert len({answer.err for answer in answers}) == 1
    assert "line 12: pipe P2" in answers[0].err
    assert "Traceback" not in answers[0].err


@pytest.mark.parametrize(
    "path",
    [WNTR_NETWORKS / "Net1.inp", WNTR_NETWORKS / "Net3.inp", WNTR_NETWORKS / "ky4.inp", SUPPLY_INP],
    ids=lambda path: path.name,
)
def test_the_network_is_the_one_that_wntr_reads(path: Path, pool: EnginePool) -> None:
    theirs = wntr_model(path)
    ours = load_network(path.read_bytes(), pool)
    assert set(ours.nodes) == set(theirs.node_name_list)
    assert set(ours.links) == set(theirs.link_name_list)
    for name, node in theirs.nodes():
        height = node.base_head if node.node_type == "Reservoir" else node.elevation
        assert ours.nodes[name].elevation_m == pytest.approx(height, abs=1e-6)
        assert ours.nodes[name].kind == node.node_type.lower()
        assert (ours.nodes[name].x, ours.nodes[name].y) == pytest.approx(node.coordinates)
    for name, link in theirs.links():
        mine = ours.links[name]
        assert mine.kind == link.link_type.lower()
        assert (mine.start_node_id, mine.end_node_id) == (link.start_node_name, link.end_node_name)
        if mine.kind is LinkKind.PIPE:
            assert (mine.length_m, mine.diameter_m) == pytest.approx((link.length, link.diameter))


WORDS = st.sampled_from(
    ["", "nan", "-1", "0", "1e30", "J", "T", "P1", "PU", "CV", "Closed", "[PIPES]", "[END]", ";", '"', "24:00", "6 AM",
     "HEAD", "é" * 40, "\0", "x" * 1200, "Trace", "RULE", "IF", "THEN", "1 2 3 4 5 6 7 8", "PRV", "\n", "[VALVES]"]
)  # fmt: skip
FULL = (
    CLOCK_RULES + "[VALVES]\nV K J 100 PRV 20 0\n[PATTERNS]\nX 1 2\n[CURVES]\nC 1 2\n[DEMANDS]\nJ 1 X\n"
).splitlines()


@given(
    edits=st.lists(st.tuples(st.integers(0, len(FULL) - 1), st.integers(0, 8), WORDS), min_size=1, max_size=4),
    dropped=st.sets(st.integers(0, len(FULL) - 1), max_size=2),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mangled_inp_gives_an_answer_or_says_why_not(
    edits: list[tuple[int, int, str]], dropped: set[int], pool: EnginePool
) -> None:
    lines = [line.split(" ") for line in FULL]
    for at, word, new in edits:
        lines[at][min(word, len(lines[at]) - 1)] = new
    inp = "\n".join(" ".join(words) for n, words in enumerate(lines) if n not in dropped).encode()
    outcome = why_not(inp, pool)
    assert outcome is None or not any(word in outcome for word in ("died", "failed:"))  # an engine says no, and lives


def why_not(inp: bytes, pool: EnginePool) -> str | None:
    """Return why a file has no answer, None if it has one; any other error is a failure."""
    try:
        network = load_network(inp, pool)
        answer = run_network(inp, pool, hours=2, time_limit_s=20)
    except (InputError, ModelError) as error:
        return str(error)
    assert set(answer["nodes"]) == set(network.nodes)
    return None
