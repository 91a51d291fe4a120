"""How far demand forecasts may lie off, against errors that were put in by hand."""

from __future__ import annotations

from math import exp, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.demand.ladder import HIGHEST_SCALE, LOWEST_SCALE, DemandBasis, DemandForecast, forecast_demand
from models.demand.spread import PRIOR_DAYS, PRIORS, Spread, member_multipliers, spread_of

DAY_H = 24


def a_forecast(district: str, hours: int = 48, *, multiplier: float = 1.0) -> DemandForecast:
    of_model = np.full(hours, multiplier)
    return DemandForecast(district, DemandBasis.WEEKLY, of_model, of_model, None, 0)


def spread_after(observed: np.ndarray) -> tuple[DemandBasis, Spread]:
    past = np.ones(len(observed))
    forecast = forecast_demand("D", observed, past, np.ones(DAY_H))
    return forecast.basis, spread_of(forecast, observed, past)


def test_without_any_past_the_prior_is_all_there_is() -> None:
    basis, spread = spread_after(np.full(48, np.nan))
    assert basis is DemandBasis.MODEL
    assert (spread.level, spread.hourly) == pytest.approx((PRIORS[basis].level, PRIORS[basis].hourly))


def test_forecasts_that_were_always_right_draw_the_prior_down() -> None:
    basis, spread = spread_after(np.ones(28 * DAY_H))
    assert basis is DemandBasis.WEEKLY
    shrunk = sqrt(PRIOR_DAYS / (PRIOR_DAYS + 14))  # 14 days without an error
    assert spread.level == pytest.approx(PRIORS[basis].level * shrunk)
    assert spread.hourly == pytest.approx(PRIORS[basis].hourly * shrunk)


def test_days_that_came_otherwise_widen_the_level_and_hours_the_scatter() -> None:
    numbers = np.random.default_rng(5)
    days = np.exp(numbers.normal(0.0, 0.3, 28)).repeat(DAY_H)
    hours = np.exp(numbers.normal(0.0, 0.6, 28 * DAY_H))
    _, calm = spread_after(np.ones(28 * DAY_H))
    _, by_day = spread_after(days)
    _, by_hour = spread_after(hours)
    assert by_day.level > 0.2
    assert by_day.level > 1.5 * by_hour.level
    assert by_hour.hourly > 0.2
    assert by_hour.hourly > 3 * calm.hourly
    assert by_hour.hourly > 2 * by_day.hourly


def test_a_days_error_counts_as_it_is() -> None:
    observed = np.ones(8 * DAY_H)
    observed[-DAY_H:] = exp(0.4)
    past = np.ones(8 * DAY_H)
    forecast = forecast_demand("D", observed, past, np.ones(DAY_H))
    # one forecast of the same kind can be made again: that of the last day, from seven days of ones, and it said 1
    expected = sqrt((PRIOR_DAYS * PRIORS[forecast.basis].level ** 2 + 0.4**2) / (PRIOR_DAYS + 1))
    assert spread_of(forecast, observed, past).level == pytest.approx(expected, rel=1e-6)


def test_the_levels_of_members_are_as_spread_as_they_should_be_and_half_in_common() -> None:
    districts = [a_forecast(f"D{number}") for number in range(40)]
    drawn = np.log(member_multipliers(districts, [Spread(0.1, 0.0)] * 40, 200)[:, :, 0])
    assert drawn.std(axis=0) == pytest.approx(np.full(40, 0.1), rel=0.2)
    assert np.abs(drawn.mean(axis=0)).max() < 0.005
    between = np.corrcoef(drawn.T)[np.triu_indices(40, 1)]
    assert between.mean() == pytest.approx(0.5, abs=0.05)


def test_one_district_alone_has_the_quantiles_of_the_normal_distribution() -> None:
    drawn = np.log(member_multipliers([a_forecast("D")], [Spread(0.1, 0.0)], 1000)[:, 0, 0])
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(drawn, share) == pytest.approx(0.1 * NormalDist().inv_cdf(share), abs=0.012)


def test_hours_scatter_around_their_level_and_hang_together() -> None:
    drawn = np.log(member_multipliers([a_forecast("D", 240)], [Spread(0.0, 0.1)], 400)[:, 0])
    assert drawn.std() == pytest.approx(0.1, rel=0.05)
    next_to_each_other = np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]
    assert next_to_each_other == pytest.approx(0.7, abs=0.03)


@given(
    multiplier=st.floats(LOWEST_SCALE, HIGHEST_SCALE),
    level=st.floats(0.0, 2.0),
    hourly=st.floats(0.0, 2.0),
    members=st.integers(1, 60),
)
def test_members_stay_within_what_demand_may_be(multiplier: float, level: float, hourly: float, members: int) -> None:
    drawn = member_multipliers([a_forecast("D", multiplier=multiplier)], [Spread(level, hourly)], members)
    assert drawn.shape == (members, 1, 48)
    assert (drawn >= LOWEST_SCALE).all()
    assert (drawn <= HIGHEST_SCALE).all()


def test_a_longer_horizon_changes_nothing_before_it() -> None:
    short, long = (
        member_multipliers([a_forecast("A", hours), a_forecast("B", hours)], [Spread(0.1, 0.2)] * 2, 50)
        for hours in (24, 72)
    )
    assert (long[:, :, :24] == short).all()
