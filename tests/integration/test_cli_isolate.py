"""`h2twin isolate` on a network that can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from isolation_town import CUSTOMERS, NETWORK, VALVES


class Town:
    def __init__(self, folder: Path, cli: CommandLine) -> None:
        self._folder, self._cli = folder, cli
        (folder / "customers.csv").write_text(CUSTOMERS)

    def ask(self, *options: str, v2: str = "true", p5: str = "Open", p7: int = 300) -> Any:
        (self._folder / "town.inp").write_text(NETWORK.format(p5=p5, p7=p7))
        (self._folder / "valves.csv").write_text(VALVES.format(v2=v2))
        files = [f"--{name}={self._folder / file}" for name, file in FILES.items()]
        answer = self._cli("isolate", *files, *options, "--json")
        assert answer.code == 0, answer.err
        return answer.json


FILES = {"network": "town.inp", "valves": "valves.csv", "customers": "customers.csv"}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def town(tmp_path: Path, cli: CommandLine) -> Town:
    return Town(tmp_path, cli)


def test_a_pipe_between_two_valves_leaves_the_rest_to_the_tank(town: Town) -> None:
    answer = town.ask("--link", "P2")
    assert set(answer["valves"]) == {"V1", "V2"}
    assert answer["segment"] == {"nodes": [], "links": ["P2"]}
    assert answer["dry_nodes"] == []
    [pocket] = answer["tank_fed"]
    assert (pocket["tanks"], pocket["nodes"]) == (["T"], ["B", "C", "D"])
    assert pocket["lasts_h"] == pytest.approx(60 / 6e-3 / 3600, rel=1e-6)  # 60 m3 at 6 L/s
    assert answer["customers"]["count"] == 0


def test_without_a_tank_the_shut_valve_gives_the_water_back(town: Town) -> None:
    answer = town.ask("--link", "P2", p5="Closed")
    assert answer["dry_nodes"] == ["B", "C", "D"]
    assert answer["unintended_nodes"] == ["B", "C", "D"]
    assert answer["customers"]["count"] == 4
    assert answer["customers"]["sensitive"] == ["hospital"]
    assert answer["dry_nodes_if_no_valve_shut"] == []
    assert answer["customers"]["count_by_shut_valves"] == 4  # X alone keeps the water from them
    [refeed] = answer["refeed"]
    assert (refeed["valve_id"], refeed["nodes"], refeed["nodes_still_low"]) == ("X", ["B", "C", "D"], [])
    to_b = 3 * loss_m(6e-3)  # P1, P4, P7 carry what B, C and D take
    assert refeed["min_pressure_m"] == {
        "B": pytest.approx(50 - to_b, abs=1e-3),
        "C": pytest.approx(50 - to_b - loss_m(4e-3), abs=1e-3),
        "D": pytest.approx(50 - to_b - loss_m(4e-3) - loss_m(1e-3), abs=1e-3),
    }
    [link] = answer["refeed_links"]  # the tank's pipe, which the INP has closed: it is empty within 3 h
    assert (link["link_id"], link["nodes"]) == ("P5", ["B", "C", "D"])
    assert link["nodes_still_low"] == ["B", "C", "D"]
    assert link["min_pressure_m"] == {"B": 0, "C": 0, "D": 0}


def loss_m(flow_m3s: float) -> float:
    """Return the head lost in 100 m of pipe, 300 mm wide, C = 130, by Hazen and Williams."""
    return 10.667 * 100 * (flow_m3s / 130) ** 1.852 / 0.3**4.871


def test_a_thin_pipe_gives_the_water_back_without_pressure(town: Town) -> None:
    [refeed] = town.ask("--link", "P2", p5="Closed", p7=40)["refeed"]
    assert refeed["nodes_still_low"] == ["B", "C", "D"]


def test_more_pressure_from_a_shut_valve(town: Town) -> None:
    answer = town.ask("--link", "P2", "--required-pressure-m", "35.5")
    assert answer["low_pressure_nodes"] == ["B", "C", "D"]
    [refeed] = answer["refeed"]
    assert (refeed["valve_id"], refeed["nodes"], refeed["no_longer_low"]) == ("X", [], ["B", "C", "D"])
    assert 35.5 < refeed["min_pressure_m"]["B"] < 50  # while the tank fills, the pipes lose more


#   R --P1-- A --P2-- B --P3-- S      A takes 5 L/s and B 40 L/s; X on P2 is shut
TWO_ZONES = """
[JUNCTIONS]
A 20 5
B 20 40
[RESERVOIRS]
R 60
S 60
[PIPES]
P1 R A 1000 150 130 0 Open
P2 A B 100 300 130 0 Open
P3 B S 100 300 130 0 Open
[OPTIONS]
Units LPS
Headloss H-W
[END]
"""


def test_who_pays_for_it_is_said(tmp_path: Path, cli: CommandLine) -> None:
    (tmp_path / "two.inp").write_text(TWO_ZONES)
    (tmp_path / "valves.csv").write_text(
        "valve_id,link_id,near_node,operable,normally_closed\nX,P2,A,TRUE,True\nY,P3,B,true,false\n"
    )
    asked = ("--link", "P3", "--required-pressure-m", "20")
    answer = cli.ok("isolate", f"--network={tmp_path / 'two.inp'}", f"--valves={tmp_path / 'valves.csv'}", *asked)
    assert answer["dry_nodes"] == ["B"]
    [refeed] = answer["refeed"]
    assert (refeed["nodes"], refeed["nodes_still_low"], refeed["newly_low"]) == (["B"], ["B"], ["A"])


def test_a_link_that_the_inp_has_closed_gives_water_with_its_pressure(tmp_path: Path, cli: CommandLine) -> None:
    text = TWO_ZONES.replace("P2 A B 100 300 130 0 Open", "P2 A B 100 300 130 0 Closed").replace("B 20 40", "B 20 4")
    (tmp_path / "two.inp").write_text(text)
    answer = cli.ok("isolate", f"--network={tmp_path / 'two.inp'}", "--link", "P3")
    assert (answer["valves_assumed"], answer["dry_nodes"], answer["refeed"]) == (True, ["B"], [])
    [link] = answer["refeed_links"]
    thin_m = 10.667 * 1000 * (9e-3 / 130) ** 1.852 / 0.15**4.871
    assert (link["link_id"], link["nodes"], link["nodes_still_low"]) == ("P2", ["B"], [])
    assert link["min_pressure_m"] == {"B": pytest.approx(40 - thin_m - loss_m(4e-3), abs=1e-2)}


HYDRANTS = "hydrant_id,node,kind\nH4,T,fire\nH2,B,drain\nH3,E,\nH1,C,flush\n"


def test_hydrants_in_the_segment_lowest_first(town: Town, tmp_path: Path) -> None:
    (tmp_path / "hydrants.csv").write_text(HYDRANTS)
    given = f"--hydrants={tmp_path / 'hydrants.csv'}"
    assert town.ask("--node", "C")["flushing"] is None
    flushing = town.ask("--node", "C", given)["flushing"]
    assert [(each["hydrant_id"], each["kind"], each["elevation_m"]) for each in flushing["points"]] == [
        ("H1", "flush", 20.0),
        ("H4", "fire", 55.0),
    ]
    assert (flushing["lowest"], flushing["highest"]) == ("H1", "H4")
    assert town.ask("--link", "P2", given)["flushing"] == {"points": [], "lowest": None, "highest": None}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("H1,Z,flush", ("H1", "Z")),
        ("H1,A,tap", ("line 2", "kind", "tap")),
        ("H1,,fire", ("line 2", "node")),
        ("H1,A,fire\nH1,B,fire", ("line 3", "H1")),
    ],
)
def test_bad_hydrants_are_named(
    town: Town, cli: CommandLine, tmp_path: Path, rows: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "town.inp").write_text(NETWORK.format(p5="Open", p7=300))
    (tmp_path / "hydrants.csv").write_text(f"hydrant_id,node,kind\n{rows}\n")
    network, hydrants = tmp_path / "town.inp", tmp_path / "hydrants.csv"
    answer = cli("isolate", f"--network={network}", f"--hydrants={hydrants}", "--link=P2", "--no-hydraulics")
    assert answer.code == 3
    assert all(word in answer.err for word in words)


@pytest.mark.parametrize("how", ["file", "option"])
def test_a_stuck_valve_costs_those_behind_it(town: Town, how: str) -> None:
    given = ("--inoperable", "V2") if how == "option" else ()
    answer = town.ask("--link", "P2", *given, v2="false" if how == "file" else "true")
    assert set(answer["valves"]) == {"V1", "V3"}
    assert answer["segment"] == {"nodes": ["B"], "links": ["P2"]}
    assert answer["dry_nodes"] == ["B"]
    assert answer["stuck_valves"] == ["V2"]
    assert answer["customers"] == {
        "count": 1,
        "sensitive": [],
        "low_pressure_count": 3,  # those of C and D, when the tank is empty after 4 h
        "count_by_stuck_valves": 1,
        "count_by_shut_valves": 0,
    }


def test_a_valve_that_is_shut_already_needs_no_closing(town: Town) -> None:
    answer = town.ask("--node", "D", "--closed", "V5")
    assert answer["valves"] == []
    assert answer["dry_nodes"] == ["D"]


def test_dead_ends_are_closed_too(town: Town) -> None:
    answer = town.ask("--node", "C")
    assert set(answer["valves"]) == {"V4", "V5"}
    assert answer["segment"] == {"nodes": ["C", "T"], "links": ["P5"]}
    assert answer["dry_nodes"] == ["C", "D"]
    assert answer["unintended_nodes"] == ["D"]


def test_without_pressures_it_says_that_they_are_not_known(town: Town) -> None:
    assert town.ask("--link", "P3")["low_pressure_nodes"] == ["C", "D"]  # when the tank is empty
    assert town.ask("--link", "P2", "--no-hydraulics")["low_pressure_nodes"] is None


def test_low_pressure_is_told_from_no_water(town: Town) -> None:
    answer = town.ask("--link", "P2", "--required-pressure-m", "35.5")
    assert answer["low_pressure_nodes"] == [
        "B",
        "C",
        "D",
    ]
    assert answer["customers"]["low_pressure_count"] == 4


@pytest.mark.parametrize(
    ("options", "name"),
    [(("--link", "P9"), "P9"), (("--node", "Z"), "Z"), (("--link", "P2", "--inoperable", "V77"), "V77")],
)
def test_an_unknown_name_is_named(tmp_path: Path, cli: CommandLine, options: tuple[str, ...], name: str) -> None:
    (tmp_path / "town.inp").write_text(NETWORK.format(p5="Open", p7=300))
    (tmp_path / "valves.csv").write_text(VALVES.format(v2="true"))
    answer = cli("isolate", f"--network={tmp_path / 'town.inp'}", f"--valves={tmp_path / 'valves.csv'}", *options)
    assert answer.code == 3
    assert name in answer.err
    assert "Traceback" not in answer.err


def test_one_line_for_each_link(tmp_path: Path, cli: CommandLine) -> None:
    (tmp_path / "town.inp").write_text(NETWORK.format(p5="Open", p7=300))
    answer = cli("isolate", f"--network={tmp_path / 'town.inp'}", "--each", "P4,P2", "--no-hydraulics", "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [line["link"] for line in lines] == ["P4", "P2"]
    assert all(line["valves_assumed"] for line in lines)
    assert set(lines[0]["valves"]) == {"P4@A", "P4@E"}


@pytest.mark.parametrize("how", ["--hydraulics", "--no-hydraulics"])
def test_an_unknown_link_among_others_is_named_before_anything_is_answered(
    tmp_path: Path, cli: CommandLine, how: str
) -> None:
    (tmp_path / "town.inp").write_text(NETWORK.format(p5="Open", p7=300))
    answer = cli("isolate", f"--network={tmp_path / 'town.inp'}", "--each", "P4,P99", how, "--json")
    assert (answer.code, answer.out, "P99" in answer.err) == (3, "", True)


def test_customers_at_nodes_that_are_not_there_are_named(tmp_path: Path, cli: CommandLine) -> None:
    (tmp_path / "town.inp").write_text(NETWORK.format(p5="Open", p7=300))
    (tmp_path / "customers.csv").write_text(CUSTOMERS + "ida,k5,GONE,2,none,pt\n")
    given = (f"--network={tmp_path / 'town.inp'}", f"--customers={tmp_path / 'customers.csv'}")
    answer = cli("isolate", *given, "--link=P4", "--no-hydraulics", "--json")
    assert answer.json["customer_nodes_not_in_network"] == ["GONE"]
    assert "GONE" in answer.err
