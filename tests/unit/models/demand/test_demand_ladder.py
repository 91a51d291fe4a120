"""The demand forecast's ladder, with hand-made pasts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.demand.ladder import HIGHEST_SCALE, LOWEST_SCALE, DemandBasis, DemandForecast, forecast_demand

DAY = 10 + 5 * np.sin(np.arange(24) / 24 * 2 * np.pi)
AHEAD = np.resize(DAY, 48)


def forecast(observed: np.ndarray, *, network: float | None = None) -> DemandForecast:
    past = np.resize(DAY[::-1], len(observed))[::-1]
    return forecast_demand("D", observed, past, AHEAD, network_scale=network)


def past_of(hours: int, factor: float = 1.0) -> np.ndarray:
    return np.resize(DAY[::-1], hours)[::-1] * factor


@pytest.mark.parametrize(
    ("hours", "basis"),
    [
        (1, DemandBasis.SCALED),
        (23, DemandBasis.SCALED),
        (24, DemandBasis.DAILY),
        (167, DemandBasis.DAILY),
        (168, DemandBasis.WEEKLY),
    ],
)
def test_the_rung_follows_from_what_is_known(hours: int, basis: DemandBasis) -> None:
    assert forecast(past_of(hours)).basis is basis


@pytest.mark.parametrize("hours", [1, 24, 168, 672])
def test_a_past_as_modelled_leaves_the_model_as_it_is(hours: int) -> None:
    assert forecast(past_of(hours)).multiplier == pytest.approx(1.0, abs=0.05)


def test_nothing_known_is_the_model_or_the_scale_of_the_network() -> None:
    nothing = np.full(200, np.nan)
    assert forecast(nothing).basis is DemandBasis.MODEL
    assert forecast(nothing).multiplier == pytest.approx(1.0)
    assert forecast(nothing, network=1.3).basis is DemandBasis.NETWORK
    assert forecast(nothing, network=1.3).multiplier == pytest.approx(1.3)


def test_one_hour_counts_for_one_hour_against_six() -> None:
    assert forecast(past_of(1, 2.0)).scale == pytest.approx((2.0 + 6 * 1.0) / 7)


def test_a_day_counts_for_a_day() -> None:
    assert forecast(past_of(24, 2.0)).scale == pytest.approx((24 * 2.0 + 6) / 30)


def test_four_weeks_of_a_third_more_are_followed_closely() -> None:
    found = forecast(past_of(672, 4 / 3))
    assert found.demand_m3s == pytest.approx(4 / 3 * AHEAD, rel=0.05)


def test_a_sudden_rise_fades_back_to_the_usual() -> None:
    observed = past_of(672)
    observed[-24:] *= 1.5
    found = forecast(observed)
    assert found.multiplier[0] > 1.35
    assert found.multiplier[0] > found.multiplier[23] > found.multiplier[47]


def test_scatter_of_single_hours_is_smoothed() -> None:
    observed = past_of(672)
    observed[::2] += 5
    observed[1::2] -= 5
    assert forecast(observed).multiplier == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize(("factor", "limit"), [(50.0, HIGHEST_SCALE), (-4.0, LOWEST_SCALE)])
def test_absurd_balances_are_held_at_the_limits(factor: float, limit: float) -> None:
    found = forecast(past_of(23, factor))
    assert found.scale == limit
    assert found.multiplier == pytest.approx(limit)


def test_hours_without_modelled_demand_stay_without() -> None:
    ahead = AHEAD.copy()
    ahead[5] = 0.0
    found = forecast_demand("D", past_of(24), past_of(24), ahead)
    assert found.demand_m3s[5] == 0.0
    assert found.multiplier[5] == 1.0


@given(st.lists(st.one_of(st.just(float("nan")), st.floats(-1e3, 1e3)), max_size=400))
def test_whatever_was_observed_the_multipliers_stay_within_limits(values: list[float]) -> None:
    observed = np.array(values, dtype=float)
    found = forecast_demand("D", observed, np.full(len(observed), 10.0), AHEAD)
    assert np.isfinite(found.multiplier).all()
    assert (found.multiplier >= LOWEST_SCALE).all()
    assert (found.multiplier <= HIGHEST_SCALE).all()
