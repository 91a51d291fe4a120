"""Calibration finds what is wrong with a model, and hides neither a closed valve nor a leak.

The real town is another engine's (EPANET 2.2 of WNTR); its pipes and consumers differ from the model's at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
import wntr
from command_line import CommandLine
from supply_grid import START, close_at, grid_inp, leak_at, real_town, write_tables

from models.pool import EnginePool
from models.supply.calibration import BOUND_SD, Calibration, calibrate

END = START + timedelta(hours=47)


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as engines:
        yield engines


@pytest.fixture
def fit(pool: EnginePool, tmp_path: Path) -> Callable[[Callable[[Any], None] | None], Calibration]:
    def calibrated(change: Callable[[Any], None] | None) -> Calibration:
        tracks = real_town(tmp_path, change)
        return calibrate(grid_inp().encode(), tracks, pool, start=START, end=END, zone=UTC)

    return calibrated


def rough_streets(town: Any) -> None:
    for name, pipe in town.pipes():
        if not name.startswith("M"):
            pipe.roughness *= 0.85


def test_rough_pipes_are_found_and_the_error_falls(fit: Callable[..., Calibration]) -> None:
    found = fit(rough_streets)
    streets = next(one for one in found.parameters if one.kind == "roughness" and one.pipes == 24)
    assert streets.factor == pytest.approx(0.85, abs=0.03)
    assert streets.moved_sd == pytest.approx(-1.08, abs=0.25)  # ln(0.85) / 0.15
    assert streets.sd_after < 0.05 < streets.prior_sd
    assert found.after_mae_m < 0.4 * found.before_mae_m
    assert abs(found.after_bias_m) < abs(found.before_bias_m)
    assert found.why_not == ()


@pytest.mark.parametrize("pipe", ["h00", "v00", "h11"])
def test_a_valve_closed_in_the_real_town_only_is_not_calibrated_away(
    fit: Callable[..., Calibration], pipe: str
) -> None:
    found = fit(close_at(pipe, 0))
    assert found.why_not
    assert (found.instead[0].candidate.what, found.instead[0].candidate.element_id) == ("closed", pipe)
    assert any(f"{pipe} closed" in reason for reason in found.why_not)


def test_a_leak_is_not_calibrated_away(fit: Callable[..., Calibration]) -> None:
    found = fit(leak_at("J21", 0, 0.03))
    assert found.why_not
    assert found.instead[0].candidate.what == "leak"
    assert found.instead[0].candidate.element_id == "J21"


def test_no_parameter_goes_beyond_its_bound(fit: Callable[..., Calibration]) -> None:
    def rusted(town: Any) -> None:
        for _, pipe in town.pipes():
            pipe.roughness *= 0.5  # 4.6 standard deviations

    found = fit(rusted)
    fitted = [one for one in found.parameters if one.kind == "roughness"]
    assert all(abs(one.moved_sd) <= BOUND_SD + 1e-9 for one in fitted)
    assert any("held at its bound" in reason for reason in found.why_not)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_the_calibrated_inp_is_written_and_is_what_was_found(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "town.inp").write_text(grid_inp(), encoding="utf-8")
    write_tables(tmp_path / "scada", real_town(tmp_path, rough_streets))
    arguments = ["--network", tmp_path / "town.inp", "--scada", tmp_path / "scada", "--out", tmp_path / "better.inp"]
    span = ["--from", "2026-01-05T00:00Z", "--to", "2026-01-06T23:00Z", "--json"]
    answer = cli("supply", "calibrate", *map(str, arguments), *span).json
    assert answer["recommended"] is True
    factor = {one["name"]: one["factor"] for one in answer["parameters"]}
    better = wntr.network.WaterNetworkModel(str(tmp_path / "better.inp"))
    assert better.get_link("h11").roughness == pytest.approx(110 * factor["roughness 110, 125 to 250 mm"], rel=1e-5)
    demand = factor["demand of J00"]
    before = wntr.network.WaterNetworkModel(str(tmp_path / "town.inp"))
    for name, junction in before.junctions():
        assert better.get_node(name).base_demand == pytest.approx(junction.base_demand * demand, rel=1e-5)
    assert better.num_links == before.num_links


def test_a_calibration_that_would_hide_a_valve_is_not_written(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "town.inp").write_text(grid_inp(), encoding="utf-8")
    write_tables(tmp_path / "scada", real_town(tmp_path, close_at("h00", 0)))
    arguments = ["--network", tmp_path / "town.inp", "--scada", tmp_path / "scada", "--out", tmp_path / "better.inp"]
    answer = cli(
        "supply", "calibrate", *map(str, arguments), "--from", "2026-01-05T00:00Z", "--to", "2026-01-06T23:00Z"
    )
    assert answer.code == 0
    assert not (tmp_path / "better.inp").exists()
    assert "not recommended: h00 closed explains" in answer.out
