"""k runs of an hour, each from the state of the one before, equal one run of k hours to a millimetre."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from data.drainage.small_models import HOUR, T0, example, one_street, rain_csv

import models.networks.ctown
from models.drainage.run import flood_run
from models.pool import EnginePool
from twin.errors import InputError

MILLIMETRE = 1e-3
STORM = [2.0, 12.0, 31.0, 6.0, 0.0, 0.5]


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as engines:
        yield engines


def chain(model: bytes, rain_mm: list[float], gage: str, start: datetime, pool: EnginePool) -> list[dict[str, Any]]:
    state, answers = None, []
    for hour, rain in enumerate(rain_mm):
        rain_of_hour = rain_csv([rain], gage=gage, start=start + hour * HOUR)
        answer, state = flood_run(model, rain_of_hour, state_in=state, start=None, pool=pool)
        answers.append(answer)
    return answers


def demo() -> bytes:
    return (Path(models.networks.ctown.__file__).parent / "drainage.inp").read_bytes()


@pytest.mark.parametrize(
    ("model", "gage", "start"),
    [
        pytest.param(example("Example1.inp"), "RG1", T0, id="example 1, kinematic, US units"),
        pytest.param(one_street(), "G1", T0, id="one street, dynamic"),
        pytest.param(one_street(allow_ponding=True, ponded_m2=400.0), "G1", T0, id="one street, ponding"),
        pytest.param(demo(), "G1", T0, id="demo city"),
        pytest.param(example("extran9.inp"), "*", datetime(2005, 4, 11, tzinfo=UTC), id="extran 9, undated inflow"),
    ],
)
def test_a_chain_equals_one_run(model: bytes, gage: str, start: datetime, pool: EnginePool) -> None:
    one, _ = flood_run(model, rain_csv(STORM, gage=gage, start=start), state_in=None, start=None, pool=pool)

    links = chain(model, STORM, gage, start, pool)

    assert links[-1]["end"] == one["end"]
    for node_id, node in one["nodes"].items():
        assert links[-1]["nodes"][node_id]["final_depth_m"] == pytest.approx(node["final_depth_m"], abs=MILLIMETRE)
        deepest = max(link["nodes"][node_id]["max_depth_m"] for link in links)
        assert deepest == pytest.approx(node["max_depth_m"], abs=MILLIMETRE)
        volume = sum(link["nodes"][node_id]["flooded_m3"] for link in links)
        assert volume == pytest.approx(node["flooded_m3"], rel=0.01, abs=0.5)


def test_an_undated_series_goes_on_where_the_chain_stands(pool: EnginePool) -> None:
    """extran 9's inflow peaks at 02:00: a series that began again with each run would stay near its foot."""
    links = chain(example("extran9.inp"), [0.0] * 4, "*", datetime(2005, 4, 11, tzinfo=UTC), pool)

    depths = [link["nodes"]["30001"]["final_depth_m"] for link in links]
    assert depths == sorted(depths)
    assert depths[3] > 6.0


def test_a_state_of_another_model_or_damaged_or_of_another_time_is_refused(pool: EnginePool) -> None:
    rain, later = rain_csv([5.0]), rain_csv([5.0], start=T0 + HOUR)
    _, state = flood_run(one_street(), rain, state_in=None, start=None, pool=pool)

    for model, content, words in (
        (one_street(conduit="C7"), state, "belongs to another model"),
        (one_street(options="MIN_SURFAREA 3"), state, "belongs to another model"),
        (one_street(), state[:-1], "truncated or altered"),
        (one_street(), b"SWMM5-HOTSTART4" + state, "no drainage state"),
    ):
        with pytest.raises(InputError, match=words):
            flood_run(model, later, state_in=content, start=None, pool=pool)
    with pytest.raises(InputError, match="they must be equal"):
        flood_run(one_street(), later, state_in=state, start=T0, pool=pool)
