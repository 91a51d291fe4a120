"""`supply scenario` as an operator calls it."""

import json
from pathlib import Path

import pytest
from command_line import Answer, CommandLine
from supply_networks import ONE_TANK

WHAT_IF = [
    {"name": "shut P3", "actions": [{"kind": "close", "links": ["P3"]}], "hours": 4},
    {"name": "no pump", "actions": [{"kind": "power_cut", "station": "PU"}], "hours": 24},
]


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    (tmp_path / "town.inp").write_text(ONE_TANK)
    return CommandLine(tmp_path, monkeypatch, capsys)


def asked(h2twin: CommandLine, tmp_path: Path, words: str, *more: str) -> Answer:
    (tmp_path / "what-if.json").write_text(words)
    files = ("--network", str(tmp_path / "town.inp"), "--scenarios", str(tmp_path / "what-if.json"))
    return h2twin("supply", "scenario", *files, *more)


def test_each_scenario_is_held_against_the_base_run_of_its_own_hours(h2twin: CommandLine, tmp_path: Path) -> None:
    told = asked(h2twin, tmp_path, json.dumps(WHAT_IF), "--json")
    answer = told.json
    assert told.code == 0
    assert [base["hours"] for base in answer["base"]] == [4, 24]
    shut, dark = answer["scenarios"]
    assert [loser["id"] for loser in shut["against_base"]["losers"]] == ["K"]
    assert shut["junctions"]["K"]["delivered_m3"] == pytest.approx(0, abs=1e-6)
    assert dark["against_base"]["tanks"]["T"]["newly_empty"]
    # 40 m3 above the lowest level at 15 L/s, which falls a little with the pressure
    assert dark["tanks"]["T"]["empty_at_h"] == pytest.approx(40 / 0.015 / 3600, rel=0.05)
    assert dark["energy_kwh"] == 0
    assert dark["against_base"]["energy_kwh_change"] < 0


def test_a_person_is_told_in_words(h2twin: CommandLine, tmp_path: Path) -> None:
    told = asked(h2twin, tmp_path, json.dumps(WHAT_IF))
    assert told.code == 0
    assert "shut P3: 1 junctions lose, 0 gain" in told.out
    assert "newly short: K" in told.out
    assert "tank T runs empty after" in told.out


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("{", "what-if.json is not JSON"),
        ("[]", "what-if.json, give from 1 to 1000 scenarios, not 0"),
        ('[{"name": "a"}, {"name": ""}]', "what-if.json, scenario 2: scenario.name must be a text"),
        ('[{"name": "a"}, {"name": "a"}]', "two scenarios are called 'a'"),
        ('{"name": "a", "actions": [{"kind": "open", "links": ["X"]}]}', "scenario a: the network has no link X"),
    ],
)
def test_what_cannot_be_asked_is_said(h2twin: CommandLine, tmp_path: Path, words: str, cause: str) -> None:
    told = asked(h2twin, tmp_path, words, "--json")
    assert told.code == 3
    assert cause in told.err
    assert told.out == ""
