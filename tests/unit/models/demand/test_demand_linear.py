import numpy as np
from sklearn.linear_model import RidgeCV

from models.demand.linear import PENALTIES, Standard, predict_by_hour


def test_equals_an_independent_ridge_regression_of_the_hours_alike() -> None:
    rng = np.random.default_rng(1)
    hour = np.tile(np.arange(72), 40)
    features = rng.normal(size=(len(hour), 5))
    features[rng.random(features.shape) < 0.1] = np.nan
    target = rng.normal(size=len(hour)) + hour + np.nan_to_num(features[:, 0]) * 3
    ahead = rng.normal(size=(72, 5))
    expected = predict_by_hour(features, target, hour, ahead)

    filled = np.where(np.isnan(features), np.nanmedian(features, axis=0), features)
    mean, deviation = filled.mean(axis=0), filled.std(axis=0)
    for h in (0, 23, 24, 47, 71):
        alike = [i for i in range(len(hour)) if hour[i] % 24 == h % 24 and abs(hour[i] // 24 - h // 24) <= 1]
        ridge = RidgeCV(alphas=PENALTIES).fit(((filled - mean) / deviation)[alike], target[alike])
        np.testing.assert_allclose(expected[h], ridge.predict((ahead[[h]] - mean) / deviation)[0], rtol=1e-9)


def test_a_feature_that_never_changes_or_is_never_known_says_nothing() -> None:
    features = np.column_stack([np.full(50, 7.0), np.full(50, np.nan)])
    np.testing.assert_array_equal(Standard.of(features)(np.array([[900.0, 3.0]])), [[0, 0]])


def test_what_was_never_seen_is_held_within_six_standard_deviations() -> None:
    features = np.array([[-1.0], [1.0]])
    np.testing.assert_array_equal(Standard.of(features)(np.array([[1e6], [-1e6]])), [[6], [-6]])
