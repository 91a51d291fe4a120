"""The drainage port on the real engine: states, ensembles, and engines that die."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from data.drainage.small_models import HOUR, T0, one_street, rain_csv

import models.networks.ctown
from models.drainage.model import SwmmDrainage
from models.drainage.run import flood_run
from models.networks.ctown import make_drainage
from models.pool import EnginePool
from twin.errors import ModelError
from twin.forecasts import DrainageState, RunStatus, WeatherEnsemble, WeatherMember
from twin.ports import DrainageModel, ObservedRain

DEMO = Path(models.networks.ctown.__file__).parent / "drainage.inp"


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2) as engines:
        yield engines


@pytest.fixture(scope="module")
def street(pool: EnginePool) -> DrainageModel:
    return SwmmDrainage(one_street(), pool, model_id="street")


def updated(model: DrainageModel, *rain_mm: float, interval_s: int = 3600) -> DrainageState:
    end = T0 + timedelta(seconds=interval_s * len(rain_mm))
    return model.update(None, start=T0, end=end, rain=[ObservedRain("*", T0, interval_s, rain_mm)])


def an_ensemble(*members: tuple[float | None, ...], hours_in: float = 0.0) -> WeatherEnsemble:
    return WeatherEnsemble(
        source="test", issued_at=T0, available_at=T0, gage_id="*", valid_from=T0 + hours_in * HOUR, interval_s=3600,
        members=tuple(WeatherMember(f"m{i}", rain) for i, rain in enumerate(members)), synthetic=True,
    )  # fmt: skip


def test_an_update_gives_what_the_same_rain_gives_alone(street: DrainageModel, pool: EnginePool) -> None:
    state = updated(street, 2.0, 40.0)

    alone, _ = flood_run(one_street(), rain_csv([2.0, 40.0]), state_in=None, start=None, pool=pool)
    assert (state.model_id, state.key, state.cold) == ("street", street.state_key, True)
    assert state.valid_at == T0 + 2 * HOUR
    assert state.rain_mm == pytest.approx(42.0)
    assert state.continuity_error_pct == alone["continuity_error_pct"]
    assert state.flooded_m3 == {node_id: node["flooded_m3"] for node_id, node in alone["nodes"].items()}


def test_a_forecast_goes_on_from_the_state(street: DrainageModel, pool: EnginePool) -> None:
    """Observed 2 mm in the first hour; T0 lies inside the ensemble's second step, whose rest is 40 mm/h."""
    state = street.update(None, start=T0, end=T0 + 1.5 * HOUR, rain=[ObservedRain("G1", T0, 1800, (1.0, 1.0, 20.0))])
    ensemble = an_ensemble(*[(99.0, 40.0, 6.0)] * 4)

    forecast = street.forecast(state, ensemble, run_id="r1", horizon_s=12 * 3600)

    alone, _ = flood_run(one_street(), rain_csv([2.0, 40.0, 6.0]), state_in=None, start=None, pool=pool)
    node = next(node for node in forecast.nodes if node.node_id == "J1")
    assert (forecast.valid_from, forecast.valid_to) == (T0 + 1.5 * HOUR, T0 + 3 * HOUR)  # no further than the weather
    assert forecast.rain_max_mm == pytest.approx(26.0)
    assert state.flooded_m3["J1"] + node.volume_p50_m3 == pytest.approx(alone["nodes"]["J1"]["flooded_m3"], rel=0.005)
    assert node.probability == 1.0
    assert any("4 members have 1 distinct rains" in warning for warning in forecast.provenance.warnings)


def test_members_that_share_their_rain_count_each(street: DrainageModel) -> None:
    state = updated(street, 0.0)

    forecast = street.forecast(
        state, an_ensemble((0.0,), (60.0,), (60.0,), (None,), (60.0,), hours_in=1), run_id="r", horizon_s=3600
    )

    node = next(node for node in forecast.nodes if node.node_id == "J1")
    assert forecast.status is RunStatus.OK
    assert forecast.members_done == ("m0", "m1", "m2", "m4")
    assert [failed.member for failed in forecast.members_failed] == ["m3"]
    assert node.probability == 0.75
    assert forecast.rain_p50_mm == pytest.approx(60.0)


def test_a_forecast_says_what_it_rests_on(street: DrainageModel) -> None:
    state = updated(street, 1.0)

    said = street.forecast(state, an_ensemble((1.0, 2.0), hours_in=1), run_id="r", horizon_s=7200).provenance

    assert said.model_id == "street"
    assert said.engine.startswith("SWMM 5.2")
    assert said.state_at == state.valid_at
    assert "1.0 mm of observed rain" in said.state_basis[0]
    assert (said.weather_source, said.weather_issued_at, said.synthetic) == ("test", T0, True)
    assert said.continuity_error_pct is not None


def test_a_forecast_of_few_members_is_insufficient_and_of_none_an_error(street: DrainageModel) -> None:
    state = updated(street, 0.0)

    few = street.forecast(state, an_ensemble((60.0,), (60.0,), hours_in=1), run_id="r", horizon_s=3600)

    assert few.status is RunStatus.INSUFFICIENT
    assert {node.probability for node in few.nodes} == {None}
    with pytest.raises(ModelError, match="member m0: rain of the step"):
        street.forecast(state, an_ensemble((None,), hours_in=1), run_id="r", horizon_s=3600)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: replace(state, key="0" * 64), "belongs to another model"),
        (lambda state: replace(state, content=state.content[:-4]), "truncated or altered"),
        (lambda state: replace(state, content=b"junk"), "no drainage state"),
        (lambda state: replace(state, valid_at=state.valid_at + HOUR), "the run starts at"),
    ],
)
def test_a_state_that_does_not_fit_is_a_model_error(change, words: str, street: DrainageModel) -> None:
    state = change(updated(street, 0.0))

    with pytest.raises(ModelError, match=words):
        street.forecast(state, an_ensemble((1.0, 1.0, 1.0), hours_in=0), run_id="r", horizon_s=3600)


def test_weather_that_does_not_fit_is_a_model_error(street: DrainageModel) -> None:
    state = updated(street, 0.0)

    with pytest.raises(ModelError, match="the rain in between is unknown"):
        street.forecast(state, an_ensemble((1.0,), hours_in=2), run_id="r", horizon_s=3600)
    with pytest.raises(ModelError, match="nothing left to run"):
        street.forecast(state, an_ensemble((1.0,)), run_id="r", horizon_s=3600)
    with pytest.raises(ModelError, match="gages G1;"):
        street.forecast(state, replace(an_ensemble((1.0,), hours_in=1), gage_id="G9"), run_id="r", horizon_s=3600)
    with pytest.raises(ModelError, match="gages G1;"):
        street.update(None, start=T0, end=T0 + HOUR, rain=[])


def test_times_between_seconds_are_cut_and_less_than_one_is_no_run(street: DrainageModel) -> None:
    rain = [ObservedRain("*", T0, 3600, (1.0,))]
    state = street.update(None, start=T0, end=T0 + HOUR + timedelta(microseconds=700_000), rain=rain)

    assert state.valid_at == T0 + HOUR
    assert street.update(state, start=T0 + HOUR, end=T0 + HOUR + timedelta(microseconds=9), rain=rain) is state


def test_an_engine_out_of_time_is_a_model_error_and_the_next_run_works(pool: EnginePool) -> None:
    slow = SwmmDrainage(
        one_street().replace(b"ROUTING_STEP 10", b"ROUTING_STEP 0.01"), pool, model_id="s", time_limit_s=0.3
    )
    with pytest.raises(ModelError):
        updated(slow, *[1.0] * 24)

    assert updated(SwmmDrainage(one_street(), pool, model_id="street"), 0.0).valid_at == T0 + HOUR


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_engine_is_a_model_error_and_the_next_run_works(pool: EnginePool) -> None:
    with pytest.raises(ModelError):
        pool.run(die)

    assert updated(SwmmDrainage(one_street(), pool, model_id="street"), 0.0).valid_at == T0 + HOUR


def test_the_demo_city_stands_ordinary_rain_and_not_the_storms_of_its_record(pool: EnginePool) -> None:
    city = SwmmDrainage(DEMO.read_bytes(), pool, model_id="ctown")

    flooded = [
        sum(volume >= 1.0 for volume in updated(city, 0.0, *storm, 0.0, 0.0).flooded_m3.values())
        for storm in [(5.0,), (5.0, 5.0, 5.0), (12.7,), (28.1,), (11.4, 45.7, 30.4)]
    ]

    assert flooded[:2] == [0, 0]
    assert 0 < flooded[2] < flooded[3] < flooded[4] < 100


def test_the_demo_city_is_what_its_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "CTOWN.INP").write_bytes((DEMO.parent / "CTOWN.INP").read_bytes())
    monkeypatch.setattr(make_drainage, "HERE", tmp_path)

    make_drainage.main()

    assert (tmp_path / "drainage.inp").read_bytes() == DEMO.read_bytes()
    assert b"SYNTHETIC" in DEMO.read_bytes()[:80]
