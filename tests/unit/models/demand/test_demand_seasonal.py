import numpy as np
import pytest

from models.demand.seasonal import mean_of_weeks, usual

WEEK = 168


def test_the_same_hour_of_six_weeks_each_weighing_four_fifths_of_the_next() -> None:
    weeks = np.repeat([6.0, 5, 4, 3, 2, 1], WEEK)  # the latest week is the last: 1
    weights = [1, 0.8, 0.64, 0.512, 0.4096, 0.32768]
    by_hand = sum(w * v for w, v in zip(weights, [1, 2, 3, 4, 5, 6], strict=True)) / sum(weights)
    np.testing.assert_allclose(usual(weeks), by_hand)


def test_an_unknown_week_does_not_count() -> None:
    weeks = np.concatenate([np.full(WEEK, 3.0), np.full(WEEK, np.nan), np.full(WEEK, 1.0)])
    np.testing.assert_allclose(usual(weeks), (1 + 0.64 * 3) / 1.64)


def test_hours_keep_their_place_in_the_week() -> None:
    np.testing.assert_allclose(usual(np.tile(np.arange(WEEK, dtype=float), 7)), np.arange(WEEK))


def test_with_less_than_a_week_the_hour_of_the_day_tells() -> None:
    days = np.tile(np.arange(24.0), 2)
    np.testing.assert_allclose(usual(days), np.tile(np.arange(24.0), 7))


def test_nothing_known_is_nothing_known() -> None:
    assert np.isnan(usual(np.full(10, np.nan))).all()


@pytest.mark.parametrize("weeks", [1, 4])
def test_the_baseline_is_the_plain_mean(weeks: int) -> None:
    demand = np.repeat([8.0, 4, 2, 1], WEEK)
    np.testing.assert_allclose(mean_of_weeks(demand, weeks), np.mean([8.0, 4, 2, 1][-weeks:]))
