from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rainfall import RainSeries, area_mean_mm, rain_by_gage
from twin.errors import InputError

T0 = datetime(2026, 3, 7, tzinfo=UTC)


def a_series(*rain_mm: float, gage_id: str = "G1", interval_s: int = 3600) -> RainSeries:
    return RainSeries(gage_id, T0, interval_s, rain_mm)


@given(
    rain_mm=st.lists(st.floats(0, 200), min_size=1, max_size=30),
    interval_s=st.sampled_from([300, 600, 900, 3600, 10800]),
    cuts=st.lists(st.integers(-7200, 120_000), max_size=12),
)
def test_the_parts_of_any_partition_add_up_to_the_whole(rain_mm: list[float], interval_s: int, cuts: list[int]) -> None:
    series = a_series(*rain_mm, interval_s=interval_s)
    edges = [T0 + timedelta(seconds=cut) for cut in sorted({-7200, 400_000, *cuts})]

    parts = [series.mm_between(start, end) for start, end in pairwise(edges)]

    assert math.fsum(parts) == pytest.approx(math.fsum(rain_mm), rel=1e-12, abs=1e-12)


@given(
    rain_mm=st.lists(st.floats(0, 200).filter(lambda mm: mm == 0 or mm > 1e-9), min_size=1, max_size=20),
    interval_s=st.sampled_from([300, 900, 3600]),
    start_s=st.integers(-4000, 80_000),
    length_s=st.integers(1, 90_000),
)
def test_intensities_rained_second_by_second_give_the_rain_of_the_window(
    rain_mm: list[float], interval_s: int, start_s: int, length_s: int
) -> None:
    series = a_series(*rain_mm, interval_s=interval_s)
    start, end = T0 + timedelta(seconds=start_s), T0 + timedelta(seconds=start_s + length_s)

    fallen = math.fsum(
        rate / 3600 * (min(at + timedelta(seconds=interval_s), end) - max(at, start)).total_seconds()
        for at, rate in series.intensities(start, end)
    )

    assert fallen == pytest.approx(series.mm_between(start, end), rel=1e-9, abs=1e-12)


def test_a_cut_interval_gives_its_share_by_time() -> None:
    series = a_series(12.0, 30.0)

    assert series.mm_between(T0 + timedelta(minutes=45), T0 + timedelta(minutes=70)) == pytest.approx(3.0 + 5.0)


@pytest.mark.parametrize(
    "values",
    [pytest.param((-0.1,), id="negative"), pytest.param((math.nan,), id="nan"), pytest.param((math.inf,), id="inf")],
)
def test_what_is_no_amount_of_rain_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="no amount of rain"):
        a_series(*values)


def test_a_beginning_between_seconds_is_refused() -> None:
    with pytest.raises(InputError, match="whole second"):
        RainSeries("G1", T0 + timedelta(milliseconds=1), 300, (1.0,))


@pytest.mark.parametrize("interval_s", [0, -300])
def test_an_interval_must_be_positive(interval_s: int) -> None:
    with pytest.raises(InputError, match="whole positive"):
        a_series(1.0, interval_s=interval_s)


def test_a_gage_takes_its_own_rain_before_that_of_every_gage() -> None:
    own, every = a_series(1.0, gage_id="g1"), a_series(2.0, gage_id="*")

    assert rain_by_gage(["G1", "G2"], [own, every]) == {"G1": own, "G2": every}


def test_gages_without_rain_are_named() -> None:
    with pytest.raises(InputError, match="gages G2, G3;"):
        rain_by_gage(["G1", "G2", "G3"], [a_series(1.0)])


def test_two_series_for_one_gage_are_refused() -> None:
    with pytest.raises(InputError, match="two rain series"):
        rain_by_gage(["G1"], [a_series(1.0), a_series(1.0, gage_id="g1")])


def test_the_mean_is_weighted_with_the_areas_and_counts_dry_ones() -> None:
    rain = {"A": a_series(10.0), "B": a_series(1.0)}

    mean = area_mean_mm(rain, {"A": 1.0, "B": 2.0}, 4.0, T0, T0 + timedelta(hours=1))

    assert mean == pytest.approx((10 * 1 + 1 * 2 + 0 * 1) / 4)
