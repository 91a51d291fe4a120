"""A demand forecast is brought up to date by a jump, not by scatter."""

from __future__ import annotations

import numpy as np
import pytest

from models.demand.ladder import forecast_demand
from models.supply.conditioning import FADES_H, brought_up_to_date

MODEL = np.full(24 * 8, 0.010)
AHEAD = np.full(24, 0.010)


def updated(observed: np.ndarray) -> np.ndarray:
    forecast = forecast_demand("D", observed, MODEL, AHEAD)
    return brought_up_to_date(forecast, observed, MODEL, AHEAD).demand_m3s / forecast.demand_m3s


def test_a_jump_in_the_last_hour_is_believed_and_fades() -> None:
    observed = MODEL.copy()
    observed[-1] = 0.015
    ratio = updated(observed)
    # 15 where 10 were expected; the jump itself is the day's scatter: apart by 10/3 once and 5/3 once (L/s)
    apart = np.sqrt(1.5 * ((2.5**2 + 2.5**2) / 24)) / (10 + 5 / 24)  # the last two hours' neighbours are themselves
    believed = 0.5**3 / (0.5**2 + apart**2)
    assert ratio[0] == pytest.approx(1 + believed, rel=0.02)
    assert ratio[4] == pytest.approx(1 + believed * np.exp(-4 / FADES_H), rel=0.02)
    assert ratio[23] == pytest.approx(1.0, abs=0.01)


def test_scatter_is_not_believed() -> None:
    random = np.random.default_rng(1)
    observed = MODEL * random.uniform(0.6, 1.4, len(MODEL))
    observed[-1] = 0.012
    assert abs(updated(observed)[0] - 1) < 0.1  # a fifth above what was expected, where hours scatter by a quarter


def test_an_unknown_last_hour_changes_nothing() -> None:
    observed = MODEL.copy()
    observed[-1] = np.nan
    assert updated(observed) == pytest.approx(1.0)


def test_a_day_that_is_hardly_known_changes_nothing() -> None:
    observed = MODEL.copy()
    observed[-24:-1] = np.nan
    observed[-1] = 0.02
    assert updated(observed) == pytest.approx(1.0)
