"""Spans of short hours, and what counts as news against the ordinary run."""

from __future__ import annotations

import numpy as np
import pytest

from models.supply.outages import Hourly, Ordinary, shortages, spans
from models.supply.tanks import first_reached_s


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        pytest.param("......", [], id="none"),
        pytest.param("xx....", [(0, 1)], id="at the start"),
        pytest.param(".x.x..", [(1, 3)], id="a gap of one hour does not split"),
        pytest.param("x..x..", [(0, 0), (3, 3)], id="a gap of two hours splits"),
        pytest.param(".....x", [(5, 5)], id="at the end"),
    ],
)
def test_spans(hours: str, expected: list[tuple[int, int]]) -> None:
    assert list(spans(np.array([hour == "x" for hour in hours]))) == expected


def judged(
    pressure_m: float, share: float, *, usual_m: float = 30.0, usual_share: float = 1.0, source: bool = True
) -> str:
    now = Hourly(np.array([[pressure_m]]), np.array([[share]]), np.array([[source]]))
    short = shortages(now, Ordinary(np.array([usual_m]), np.array([usual_share])), np.array([0]), 10.0)
    names = {"no_source": short.no_source, "demand_unmet": short.demand_unmet, "low_pressure": short.low_pressure}
    return ",".join(name for name, values in names.items() if values.any())


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(judged(30, 1), "", id="well supplied"),
        pytest.param(judged(9, 0.95), "low_pressure", id="below service pressure"),
        pytest.param(judged(5, 0.7), "demand_unmet,low_pressure", id="below 80 %"),
        pytest.param(judged(9, 0.95, usual_m=8), "", id="ordinarily low is no news"),
        pytest.param(judged(5, 0.7, usual_m=8, usual_share=0.89), "demand_unmet", id="ordinarily low, now unmet"),
        pytest.param(judged(2, 0.45, usual_m=3, usual_share=0.55), "", id="about as bad as ever"),
        pytest.param(judged(1, 0.3, usual_m=3, usual_share=0.55), "demand_unmet", id="much worse than ever"),
        pytest.param(judged(40, 1, source=False), "no_source", id="pressure without a source"),
    ],
)
def test_reasons(found: str, expected: str) -> None:
    assert found == expected


def test_a_junction_without_customers_never_counts() -> None:
    now = Hourly(np.array([[-5.0]]), np.array([[0.0]]), np.array([[False]]))
    short = shortages(now, Ordinary(np.array([30.0]), np.array([1.0])), np.zeros(0, dtype=np.int64), 10.0)
    assert not short.any.any()


def test_the_moment_of_emptying_lies_between_the_steps() -> None:
    times = np.array([0, 900, 1800])
    assert first_reached_s(times, np.array([2.0, 1.0, 0.0]), 0.005) == 1800
    assert first_reached_s(times, np.array([2.0, 1.0, -1.0]), 0.005) == 1350
    assert first_reached_s(times, np.array([0.0, 1.0, 2.0]), 0.005) == 0
    assert first_reached_s(times, np.array([3.0, 2.0, 1.0]), 0.005) is None
    assert first_reached_s(times, np.array([2.0, 0.004, 0.0]), 0.005) == 900
