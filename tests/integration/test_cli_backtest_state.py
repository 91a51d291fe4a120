"""`h2twin supply backtest-state` over readings that another engine (WNTR's own simulator) made.

    R --M-- A --P1-- B --P2-- C       A, B and C consume; a meter on M; pressures at B and C

The "real" town consumes 1.3 times what the model says. So the balance over M must find the scale, and the pressures
foreseen must be those of the other engine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import wntr
from command_line import CommandLine
from supply_grid import close_at, grid_inp, real_town, write_tables

NETWORK = """
[JUNCTIONS]
A 10 1 DAY
B 10 2 DAY
C 10 3 DAY
[RESERVOIRS]
R 60
[PIPES]
M R A 2000 150 110 0 Open
P1 A B 1000 150 110 0 Open
P2 B C 1000 100 110 0 Open
[PATTERNS]
DAY 0.5 0.5 0.5 0.5 0.6 0.9 1.4 1.6 1.4 1.2 1.1 1.1
DAY 1.2 1.1 1.0 1.0 1.1 1.3 1.5 1.6 1.3 1.0 0.7 0.5
[TIMES]
Duration 72:00
Report Timestep 0:20
Hydraulic Timestep 0:20
Pattern Timestep 1:00
[OPTIONS]
Units LPS
Headloss H-W
[END]
"""
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
SCALE = 1.3


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, and the tables of a town that consumes more than it says."""
    (tmp_path / "town.inp").write_text(NETWORK, encoding="utf-8")
    town = wntr.network.WaterNetworkModel(str(tmp_path / "town.inp"))
    town.options.hydraulic.demand_multiplier = SCALE
    results = wntr.sim.WNTRSimulator(town).run_sim()
    hours = [(START + timedelta(seconds=int(second))).replace(tzinfo=None) for second in results.node["pressure"].index]
    pressures = results.node["pressure"][["B", "C"]].set_axis(pd.Index(hours, name="Timestamp"))
    flows = (results.link["flowrate"][["M"]] * 3600).set_axis(pd.Index(hours, name="Timestamp"))
    (tmp_path / "scada").mkdir()
    pressures.to_csv(tmp_path / "scada" / "2026_pressures.csv")
    flows.to_csv(tmp_path / "scada" / "2026_flows.csv", sep=";", decimal=",")  # as BattLeDIM publishes them
    return tmp_path


def test_state_finds_the_scale_and_foresees_the_other_engines_pressures(cli: CommandLine, folder: Path) -> None:
    scada = folder / "scada"
    arguments = ["--network", folder / "town.inp", "--scada", scada, "--from", "2026-01-06T12:00Z"]
    answer = cli("supply", "backtest-state", *map(str, arguments), "--json").json
    assert answer["hours_failed"] == 0
    assert answer["hours"] == 72 - 36  # the last one starts an hour before the last reading
    assert answer["methods"]["online"]["mae_m"] < 0.25 * answer["methods"]["model"]["mae_m"]
    assert answer["methods"]["online"]["mae_m"] < 0.5 * answer["methods"]["persistence"]["mae_m"]
    assert abs(answer["methods"]["online"]["bias_m"]) < 0.1
    assert answer["methods"]["model"]["bias_m"] > 1.0  # it believes in less demand, so in more pressure


def test_figures_of_the_baselines_are_those_worked_out_from_the_tables(cli: CommandLine, folder: Path) -> None:
    arguments = ["--network", folder / "town.inp", "--scada", folder / "scada", "--from", "2026-01-06T12:00Z"]
    answer = cli("supply", "backtest-state", *map(str, arguments), "--json").json
    table = pd.read_csv(folder / "scada" / "2026_pressures.csv", index_col=0)
    change = (table.shift(-3) - table)["2026-01-06 12:00:00"::3].iloc[:-1].abs().mean()
    for place in ("B", "C"):
        assert answer["sensors"][place]["persistence_mae_m"] == pytest.approx(change[place], abs=1e-6)
        assert answer["sensors"][place]["n"] == 36


def test_nothing_after_the_origin_is_used(cli: CommandLine, folder: Path) -> None:
    """What is foreseen from an hour stays the same when all later readings of the meter are made up."""
    arguments = ["--network", folder / "town.inp", "--scada", folder / "scada"]
    span = ["--from", "2026-01-06T12:00Z", "--to", "2026-01-06T13:00Z", "--json"]
    before = cli("supply", "backtest-state", *map(str, arguments), *span).json
    path = folder / "scada" / "2026_flows.csv"
    flows = pd.read_csv(path, sep=";", decimal=",", index_col=0)
    flows["2026-01-06 13:00:00":] = 500.0
    flows.to_csv(path, sep=";", decimal=",")
    after = cli("supply", "backtest-state", *map(str, arguments), *span).json
    assert before == after
    flows["2026-01-06 12:00:00":] = 500.0
    flows.to_csv(path, sep=";", decimal=",")
    assert cli("supply", "backtest-state", *map(str, arguments), *span).json != before


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x_levels.csv", "Timestamp,T1\n2026-01-05 00:00:00,three\n", "x_levels.csv"),
        ("notes.csv", "Timestamp,T1\n", "holds no table"),
        ("x_flows.csv", "Timestamp,M\n2026-01-05 00:00:00,3\n", "no pressure sensor"),
    ],
)
def test_tables_that_cannot_be_used_are_named(
    cli: CommandLine, tmp_path: Path, name: str, content: str, told: str
) -> None:
    (tmp_path / "town.inp").write_text(NETWORK, encoding="utf-8")
    (tmp_path / "scada").mkdir()
    (tmp_path / "scada" / name).write_text(content, encoding="utf-8")
    answer = cli(
        "supply", "backtest-state", "--network", str(tmp_path / "town.inp"), "--scada", str(tmp_path / "scada")
    )
    assert answer.code == 3
    assert told in answer.err


def test_mismatch_names_a_pipe_closed_in_the_tables_town_only(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "town.inp").write_text(grid_inp(), encoding="utf-8")
    write_tables(tmp_path / "scada", real_town(tmp_path, close_at("h00", 30)))
    arguments = ["--network", tmp_path / "town.inp", "--scada", tmp_path / "scada", "--at", "2026-01-06T22:00Z"]
    span = ["--usual-days", "1.1", "--usual-to", "2026-01-06T05:00Z"]
    answer = cli("supply", "mismatch", *map(str, arguments), *span, "--json").json
    assert answer["verdict"] == "status"
    assert answer["named"]["element_id"] == "h00"
    shown = cli("supply", "mismatch", *map(str, arguments), *span)
    assert shown.code == 0
    assert "h00 closed" in shown.out
