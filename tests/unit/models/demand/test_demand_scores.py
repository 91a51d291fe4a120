import numpy as np
import pytest

from models.demand.scores import Scores, mean_scores, pinball, score, share_below


def test_the_first_day_and_the_days_after_apart() -> None:
    forecast = np.zeros(48)
    observed = np.concatenate([np.full(23, 1.0), [-5.0], np.full(24, 2.0)])
    assert score(forecast, observed) == Scores(pi1=28 / 24, pi2=5.0, pi3=2.0)


def test_unknown_hours_do_not_count() -> None:
    observed = np.full(48, np.nan)
    observed[[0, 1, 30]] = [1, 3, 4]
    assert score(np.zeros(48), observed) == Scores(pi1=2.0, pi2=3.0, pi3=4.0)


def test_nothing_observed_is_no_score_and_spoils_no_mean() -> None:
    nothing = score(np.zeros(48), np.full(48, np.nan))
    assert np.isnan([nothing.pi1, nothing.pi2, nothing.pi3]).all()
    assert mean_scores([nothing, Scores(1, 2, 3), Scores(3, 2, 1)]) == Scores(2, 2, 2)


def test_quantiles_are_judged_by_how_much_lies_below_them() -> None:
    observed = np.array([1.0, 2.0, 3.0, np.nan])
    assert share_below({0.5: np.array([2.0, 2.0, 2.0, 2.0])}, observed) == {0.5: pytest.approx(2 / 3)}


def test_the_pinball_loss_by_hand() -> None:
    # 2 above the 0.9-quantile costs 0.9 * 2, 1 below it costs 0.1 * 1
    assert pinball({0.9: np.array([1.0, 1.0])}, np.array([3.0, 0.0])) == pytest.approx((1.8 + 0.1) / 2)
