"""What an ensemble says, against a brute force that knows nothing of numpy's axes."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drainage.engine import EngineRun, NodeRun
from models.drainage.ensemble import enough, member_rain, node_floods
from twin.errors import InputError
from twin.forecasts import WeatherEnsemble, WeatherMember

T0 = datetime(2026, 3, 7, tzinfo=UTC)


def a_run(*nodes: tuple[float, float, float | None]) -> EngineRun:
    return EngineRun(tuple(NodeRun(d, 0.0, v, 0.0, 0.0, s) for d, v, s in nodes), 0.0, 0.0, 0.0, None)


_NODE = st.tuples(st.floats(0, 5), st.sampled_from([0.0, 0.4, 1.0, 7.5]) | st.floats(0, 100), st.floats(0, 40_000)).map(
    lambda node: (node[0], node[1], node[2] if node[1] > 0 else None)
)


@given(runs=st.lists(st.tuples(_NODE, _NODE), min_size=1, max_size=9))
def test_the_statement_on_a_node_is_the_brute_force_one(
    runs: list[tuple[tuple[float, float, float | None], ...]],
) -> None:
    floods = node_floods(["A", "B"], [a_run(*run) for run in runs], T0, threshold_m3=1.0, state_probability=True)

    for index, node in enumerate(floods):
        volumes = [run[index][1] for run in runs]
        onsets = [run[index][2] for run in runs if run[index][1] >= 1.0]
        assert node.probability == pytest.approx(sum(volume >= 1.0 for volume in volumes) / len(runs))
        assert node.volume_p50_m3 == pytest.approx(statistics.median(volumes))
        assert node.volume_p90_m3 == pytest.approx(linear_percentile(volumes, 0.9))
        assert node.depth_p90_m == pytest.approx(linear_percentile([run[index][0] for run in runs], 0.9))
        if onsets:
            assert node.onset_median is not None
            expected = T0 + timedelta(seconds=statistics.median(onset for onset in onsets if onset is not None))
            assert abs(node.onset_median - expected) <= timedelta(seconds=0.5)
        else:
            assert node.onset_median is None


def linear_percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def test_numpys_default_percentile_is_the_one_stated() -> None:
    assert linear_percentile([4.0, 1.0, 8.0, 2.0], 0.9) == pytest.approx(np.percentile([4.0, 1.0, 8.0, 2.0], 90))


@pytest.mark.parametrize(
    ("done", "members", "is_enough"),
    [
        (3, 3, True),
        (2, 3, False),
        (1, 1, False),
        (7, 10, True),
        (5, 10, True),
        (4, 10, False),
        (10, 21, False),
        (11, 21, True),
    ],
)
def test_three_and_half_of_the_members_are_enough(done: int, members: int, is_enough: bool) -> None:
    assert enough(done, members) is is_enough


def an_ensemble(*members: tuple[float | None, ...]) -> WeatherEnsemble:
    return WeatherEnsemble(
        "test", None, T0, "*", T0, 3600, tuple(WeatherMember(str(i), rain) for i, rain in enumerate(members))
    )


def test_members_with_unknown_steps_in_the_horizon_fail_by_name() -> None:
    nan = float("nan")
    ensemble = an_ensemble((1, 2, 3), (1, None, 3), (1, -2, 3), (1, 2), (1, nan, 3), (None, 2, 3))

    rain = member_rain(ensemble, T0 + timedelta(minutes=90), T0 + timedelta(hours=3))

    assert rain.members == ("0", "5")  # what member 5 lacks lies before the window
    assert rain.rain_of == (0, 0)
    assert [(one.valid_from, one.rain_mm) for one in rain.distinct] == [(T0 + timedelta(hours=1), (2.0, 3.0))]
    assert [(one.member, one.reason) for one in rain.failed] == [
        ("1", "rain of the step from 2026-03-07T01:00:00Z is missing"),
        ("2", "rain of the step from 2026-03-07T01:00:00Z is -2 mm"),
        ("3", "rain of the step from 2026-03-07T02:00:00Z is missing"),
        ("4", "rain of the step from 2026-03-07T01:00:00Z is nan mm"),
    ]


def test_members_beyond_the_horizon_may_be_unknown() -> None:
    rain = member_rain(
        an_ensemble(
            (1, None),
        ),
        T0,
        T0 + timedelta(minutes=60),
    )

    assert rain.members == ("0",)


def test_rain_before_the_forecast_is_unknown_not_dry() -> None:
    with pytest.raises(InputError, match="the rain in between is unknown"):
        member_rain(an_ensemble((1, 2)), T0 - timedelta(minutes=1), T0 + timedelta(hours=1))


def test_two_members_of_one_id_are_refused() -> None:
    twins = (WeatherMember("a", (1,)), WeatherMember("a", (2,)))
    with pytest.raises(InputError, match="same id"):
        member_rain(WeatherEnsemble("t", None, T0, "*", T0, 3600, twins), T0, T0 + timedelta(hours=1))
