"""`h2twin supply criticality` on a network that can be worked out by hand, and against single closures."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine

#   R --M-- A --P1-- B --P2-- C        B, C and D take 1 L/s each, U too, but nothing leads to U (its pipe is closed)
#           |        |
#           P4-- D --P3                the ring A-B-D has 300 mm pipes, each half enough
NETWORK = """
[JUNCTIONS]
A 10 0
B 10 1
C 10 1
D 10 1
U 10 1
[RESERVOIRS]
R 60
[PIPES]
M R A 100 300 130 0 Open
P1 A B 100 300 130 0 Open
P2 B C 100 300 130 0 Open
P3 B D 100 300 130 0 Open
P4 A D 100 300 130 0 Open
X C U 100 300 130 0 Closed
[TIMES]
Duration 24:00
Hydraulic Timestep 1:00
[OPTIONS]
Units LPS
Headloss H-W
[END]
"""
VALVES = """valve_id,link_id,near_node,operable,normally_closed
V1,M,A,true,false
V2,P1,A,true,false
V3,P4,A,true,false
V4,P3,D,true,false
V5,P4,D,true,false
"""
CUSTOMERS = """customer_id,connection_id,node_id,population,sensitive,language
ana,k1,B,3,none,pt
hospital,k2,C,1,hospital,pt
rui,k3,C,1,none,pt
eva,k4,D,2,none,pt
ida,k5,U,2,none,pt
"""
NET3 = Path(str(files("wntr"))) / "library" / "networks" / "Net3.inp"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def town(tmp_path: Path) -> dict[str, str]:
    texts = {"network.inp": NETWORK, "valves.csv": VALVES, "customers.csv": CUSTOMERS}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return {name.partition(".")[0]: f"--{name.partition('.')[0]}={tmp_path / name}" for name in texts}


def ask(cli: CommandLine, *options: str) -> Any:
    answer = cli("supply", "criticality", *options, "--json")
    assert answer.code == 0, answer.err
    return answer.json


def test_each_pipe_that_can_be_shut_alone(cli: CommandLine, town: dict[str, str]) -> None:
    answer = ask(cli, town["network"], town["customers"], "--hours=10")
    assert answer["valves_assumed"]
    assert answer["without_water_anyway"] == ["U"]
    pipes = {pipe["id"]: pipe for pipe in answer["pipes"]}
    assert [pipe["id"] for pipe in answer["pipes"][:2]] == ["M", "P2"]
    assert {name: pipe["customers"] for name, pipe in pipes.items()} == {
        "M": 4,
        "P2": 2,
        "P1": 0,
        "P3": 0,
        "P4": 0,
        "X": 0,
    }
    assert {name for name, pipe in pipes.items() if pipe["single_point_of_failure"]} == {"M", "P2"}
    main = pipes["M"]
    assert main["sensitive"] == ["hospital"]
    assert main["unintended_nodes"] == ["A", "B", "C", "D"]
    assert main["newly_without_water"] == ["A", "B", "C", "D"]
    assert main["junctions_short"] == ["B", "C", "D", "U"]
    assert main["first_short_at_h"] == 0
    assert main["undelivered_m3"] == pytest.approx(4 * 0.001 * 36000)
    assert pipes["P1"]["newly_without_water"] == []


def test_pipes_are_lost_with_their_segment(cli: CommandLine, town: dict[str, str]) -> None:
    answer = ask(cli, town["network"], town["customers"], town["valves"], "--hours=1")
    pipes = {pipe["id"]: pipe for pipe in answer["pipes"]}
    assert len(answer["pipes"]) == len(pipes) == 6
    around_b = {"P1", "P2", "P3", "X"}  # nothing can be shut between them
    for name in around_b:
        assert set(pipes[name]["cut_off_with"]) == around_b - {name}
        assert set(pipes[name]["valves"]) == {"V2", "V4"}
        assert pipes[name]["customers"] == 3
        assert not pipes[name]["single_point_of_failure"]
    assert pipes["P4"]["newly_without_water"] == []
    assert pipes["M"]["customers"] == 4
    assert pipes["M"]["single_point_of_failure"]


def test_without_customers_nodes_decide_and_customers_are_unknown(cli: CommandLine, town: dict[str, str]) -> None:
    pipes = ask(cli, town["network"], "--hours=1")["pipes"]
    assert [pipe["id"] for pipe in pipes[:2]] == ["M", "P2"]
    assert {pipe["customers"] for pipe in pipes} == {None}


def test_a_stuck_valve_is_unknown_by_another_name(cli: CommandLine, town: dict[str, str]) -> None:
    answer = cli("supply", "criticality", town["network"], town["valves"], "--inoperable=V9", "--json")
    assert (answer.code, "V9" in answer.err) == (3, True)


def test_every_pipe_loses_what_its_closure_loses(cli: CommandLine) -> None:
    pipes = {pipe["id"]: pipe for pipe in ask(cli, f"--network={NET3}")["pipes"]}
    some = ["20", "60", "101", "125", "204", "329"]
    alone = cli("supply", "outage", f"--network={NET3}", f"--each={','.join(some)}", "--json")
    for line in alone.out.splitlines():
        closed = json.loads(line)
        (link,) = closed["close"]
        assert pipes[link]["junctions_short"] == closed["junctions_short"]
        short = [closed["junctions"][name]["first_short_at_h"] for name in closed["junctions_short"]]
        assert pipes[link]["first_short_at_h"] == (min(short) if short else None)


def test_it_reads_as_a_table(cli: CommandLine, town: dict[str, str]) -> None:
    answer = cli("supply", "criticality", town["network"], town["customers"])
    assert answer.code == 0
    assert "The 6 most critical of 6 pipes, 24 h" in answer.out
    assert "No valves are known" in answer.out
    assert "Without enough water with all pipes open, and not counted: U" in answer.out
