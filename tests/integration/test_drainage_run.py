"""`flood run` and `flood forecast` with the real engine: units, ponding, gages, rain, and models it cannot run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from data.drainage.small_models import HOUR, T0, one_street, rain_csv

from models.drainage.engine import engine_version
from models.drainage.model_file import read_model
from models.drainage.run import flood_forecast, flood_run
from models.drainage.runfile import run_text
from models.pool import EnginePool
from models.rainfall import RainSeries
from twin.clock import parse_time
from twin.errors import InputError, ModelError
from twin.forecasts import WeatherEnsemble, WeatherMember

STORM = [2.0, 40.0, 6.0, 0.0]

# A driver of our own beside the product's: asks every node after every step, and writes down when it first overflowed.
ASK_EVERY_STEP = """
import json, sys
from swmm.toolkit import solver
from swmm.toolkit.shared_enum import NodeResult
solver.swmm_open(sys.argv[1], "brute.rpt", "brute.out"); solver.swmm_start(0)
first = {}
while True:
    days = solver.swmm_step()
    for node in range(3):
        if node not in first and solver.node_get_result(node, NodeResult.FLOOD) > 0: first[node] = days * 86400
    if days <= 0: break
print(json.dumps(first))
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2) as engines:
        yield engines


def run(model: bytes, pool: EnginePool, rain: bytes | None = None) -> dict[str, Any]:
    answer, _ = flood_run(model, rain or rain_csv(STORM), state_in=None, start=None, pool=pool)
    return answer


def test_the_same_street_in_us_units_floods_the_same(pool: EnginePool) -> None:
    metric, us = run(one_street(units="CMS"), pool), run(one_street(units="CFS"), pool)

    assert metric["nodes"]["J1"]["flooded_m3"] > 100
    for node_id, node in metric["nodes"].items():
        other = us["nodes"][node_id]
        assert other["max_depth_m"] == pytest.approx(node["max_depth_m"], abs=2e-3)
        assert other["flooded_m3"] == pytest.approx(node["flooded_m3"], rel=2e-3, abs=0.1)
        assert other["flooded_h"] == pytest.approx(node["flooded_h"], abs=0.01)
    assert us["rain_delivered_mm"] == pytest.approx(metric["rain_delivered_mm"], rel=1e-6)


@pytest.mark.parametrize("ponding", [False, True])
def test_a_flood_begins_at_the_first_step_with_overflow(ponding: bool, pool: EnginePool, tmp_path: Path) -> None:
    model = one_street(allow_ponding=ponding, ponded_m2=400.0)
    series = {"G1": RainSeries("G1", T0, 3600, tuple(STORM))}
    (tmp_path / "brute.inp").write_text(run_text(read_model(model), T0, T0 + 4 * HOUR, series))
    driver = [sys.executable, "-c", ASK_EVERY_STEP, "brute.inp"]
    asked = subprocess.run(driver, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)

    node = run(model, pool)["nodes"]["J1"]

    expected = json.loads(asked.stdout.splitlines()[-1])["0"]
    assert parse_time(node["first_flooded_at"]) == T0 + timedelta(seconds=int(expected))


def test_ponded_water_is_kept_above_the_rim_and_lost_water_is_not(pool: EnginePool) -> None:
    lost, kept = run(one_street(), pool), run(one_street(allow_ponding=True, ponded_m2=2000.0), pool)

    assert (lost["ponding"], kept["ponding"]) == (False, True)
    assert lost["nodes"]["J1"]["max_depth_m"] == pytest.approx(2.0)
    assert lost["nodes"]["J1"]["max_ponded_m3"] == 0
    node = kept["nodes"]["J1"]
    assert node["max_depth_m"] > 2.05  # not clipped at the rim
    assert node["max_ponded_m3"] == pytest.approx((node["max_depth_m"] - 2.0) * 2000.0, rel=0.02)
    assert node["flooded_m3"] >= node["max_ponded_m3"] * 0.98


@pytest.mark.parametrize("interval_s", [300, 900, 1800, 3600, 5400])
def test_the_gages_own_interval_is_of_no_matter(interval_s: int, pool: EnginePool) -> None:
    rain = rain_csv([interval_s / 3600 * 12.0] * 3, interval_s=interval_s)

    answer = run(one_street(gage="G1 VOLUME 0:05 1.0 TIMESERIES STORM"), pool, rain)

    assert answer["rain_in_mm"] == pytest.approx(interval_s / 3600 * 36.0)
    assert answer["rain_delivered_mm"] == pytest.approx(answer["rain_in_mm"], rel=1e-6)


def test_a_start_inside_an_interval_takes_the_rest_of_its_rain(pool: EnginePool) -> None:
    start = T0 + timedelta(minutes=37, seconds=13)

    answer, _ = flood_run(one_street(), rain_csv([10.0, 4.0]), state_in=None, start=start, pool=pool)

    assert answer["start"] == "2026-03-07T00:37:13Z"
    assert answer["rain_in_mm"] == pytest.approx(10.0 * (22 * 60 + 47) / 3600 + 4.0)
    assert answer["rain_delivered_mm"] == pytest.approx(answer["rain_in_mm"], rel=1e-6)


@pytest.mark.parametrize("minute", range(0, 60, 7))
def test_every_second_of_a_run_is_run(minute: int, pool: EnginePool) -> None:
    """Dates are floats in the engine: some windows came out a second short, and their rain with them."""
    start = T0 + timedelta(hours=3, minutes=minute)

    answer = run(one_street(), pool, rain_csv([600.0], start=start, interval_s=60))

    assert answer["rain_delivered_mm"] == pytest.approx(600.0, rel=1e-9)


def test_the_answer_names_gaps_states_and_what_was_dropped(pool: EnginePool) -> None:
    rows = rain_csv([1.0, 2.0, 3.0]).split(b"\n")
    answer = run(one_street(extra="[LOADINGS]\nS1 TSS 1\n"), pool, b"\n".join(rows[:2] + rows[3:]))

    assert answer["state"] == "cold"
    assert answer["rain_gaps"] == [{"gage_id": "G1", "observed_at": "2026-03-07T02:00:00Z", "interval_s": 3600}]
    assert answer["rain_in_mm"] == pytest.approx(4.0)
    assert any("[LOADINGS]" in warning for warning in answer["warnings"])
    json.dumps(answer, allow_nan=False)


def test_a_gage_without_rows_is_named(pool: EnginePool) -> None:
    with pytest.raises(InputError, match="gages G1;"):
        run(one_street(), pool, rain_csv([1.0], gage="G2"))


def test_nodes_without_links_are_refused_and_the_pool_lives_on(pool: EnginePool) -> None:
    with pytest.raises(ModelError, match="nodes but no links"):
        run(one_street(links=False), pool)

    assert run(one_street(), pool)["nodes"]["J1"]["flooded_m3"] > 0


def test_names_beyond_ascii_keep_their_results(pool: EnginePool) -> None:
    named = one_street().decode().replace("J1", "Praça").replace("J2", "Nó2").encode()

    answer = run(named, pool)

    assert list(answer["nodes"]) == ["Praça", "Nó2", "O1"]
    assert list(answer["nodes"].values()) == list(run(one_street(), pool)["nodes"].values())


def real_engine_version() -> str:
    from swmm.toolkit import solver

    version: str = solver.swmm_version_info()
    return version


def test_the_engine_is_the_one_we_say(pool: EnginePool) -> None:
    assert engine_version().split()[1] == pool.run(real_engine_version)


def test_what_the_engine_refuses_comes_back_in_its_own_words(pool: EnginePool) -> None:
    with pytest.raises(ModelError, match="ERROR 209: undefined object NOWHERE"):
        run(one_street(extra="[CONDUITS]\nC3 J1 NOWHERE 10 0.01 0 0 0 0\n"), pool)

    assert run(one_street(), pool)["nodes"]["J1"]["flooded_m3"] > 0


def an_ensemble(*members: tuple[float | None, ...]) -> WeatherEnsemble:
    return WeatherEnsemble(
        "test", None, T0, "*", T0, 3600, tuple(WeatherMember(str(i), rain) for i, rain in enumerate(members))
    )


def test_three_broken_members_of_ten_are_in_no_denominator(pool: EnginePool) -> None:
    dry, wet = (0.0, 0.0, 0.0), (1.0, 60.0, 0.0)
    ensemble = an_ensemble(dry, wet, (0, None, 0), dry, wet, (0, -1, 0), wet, (1.0, 45.0, 0.0), (1.0,), dry)

    answer = flood_forecast(one_street(), ensemble, state_in=None, flood_threshold_m3=1.0, pool=pool)

    assert answer["status"] == "ok"
    assert answer["members"]["done"] == ["0", "1", "3", "4", "6", "7", "9"]
    assert [failed["member"] for failed in answer["members"]["failed"]] == ["2", "5", "8"]
    alone = {
        rain: run(one_street(), pool, rain_csv(list(rain)))["nodes"]["J1"] for rain in (dry, wet, (1.0, 45.0, 0.0))
    }
    volumes = sorted(
        [alone[dry]["flooded_m3"]] * 3 + [alone[wet]["flooded_m3"]] * 3 + [alone[(1.0, 45.0, 0.0)]["flooded_m3"]]
    )
    node = answer["nodes"]["J1"]
    assert node["probability"] == pytest.approx(4 / 7)
    assert node["p50"] == pytest.approx(volumes[3])
    assert node["p90"] == pytest.approx(volumes[5] + 0.4 * (volumes[6] - volumes[5]))
    assert parse_time(node["onset_median"]) == parse_time(alone[wet]["first_flooded_at"])  # three of four begin there
    lead = parse_time(node["onset_median"]) - parse_time(answer["valid_from"])
    assert node["lead_time_s"] == lead.total_seconds() > 0


def test_a_dry_ensemble_floods_nothing(pool: EnginePool) -> None:
    answer = flood_forecast(
        one_street(), an_ensemble(*[(0.0, 0.0)] * 5), state_in=None, flood_threshold_m3=1.0, pool=pool
    )

    assert {
        (node["probability"], node["onset_median"], node["lead_time_s"], node["p90"])
        for node in answer["nodes"].values()
    } == {(0.0, None, None, 0.0)}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([(1.0,), (2.0,)], id="two of two"),
        pytest.param([(1.0,), (2.0,), (3.0,), (None,), (None,), (None,), (None,)], id="three of seven"),
        pytest.param([(None,), (None,), (None,)], id="none of three"),
    ],
)
def test_too_few_members_state_no_probability(members: list[tuple[float | None, ...]], pool: EnginePool) -> None:
    answer = flood_forecast(one_street(), an_ensemble(*members), state_in=None, flood_threshold_m3=1.0, pool=pool)

    assert answer["status"] == "insufficient"
    assert answer["nodes"] == {}
    assert len(answer["members"]["done"]) + len(answer["members"]["failed"]) == len(members)
