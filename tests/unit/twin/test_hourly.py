from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from twin.errors import InputError, NaiveDatetimeError
from twin.hourly import HourlySeries, epoch_hour, hours_between

FIRST = datetime(2022, 7, 25, tzinfo=UTC)


def series(*values: float) -> HourlySeries:
    return HourlySeries(FIRST, np.full(len(values), 2.0), {"a": np.array(values)})


def test_hours_are_counted_from_1970() -> None:
    assert epoch_hour(datetime(1970, 1, 2, 1, tzinfo=UTC)) == 25


def test_a_time_within_an_hour_is_refused() -> None:
    with pytest.raises(InputError, match="2022-07-25T00:30:00Z is not the beginning of an hour"):
        epoch_hour(FIRST + timedelta(minutes=30))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(NaiveDatetimeError):
        hours_between(datetime(2022, 7, 25), FIRST)  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    ("first_h", "end_h", "kept"),
    [
        (0, 3, [1, 2, 3]),
        (1, 2, [2]),
        (-2, 1, [np.nan, np.nan, 1]),
        (2, 5, [3, np.nan, np.nan]),
        (7, 9, [np.nan, np.nan]),
        (-9, -7, [np.nan, np.nan]),
        (1, 1, []),
    ],
)
def test_hours_that_are_not_there_are_not_known(first_h: int, end_h: int, kept: list[float]) -> None:
    cut = series(1, 2, 3).between(FIRST + timedelta(hours=first_h), FIRST + timedelta(hours=end_h))
    np.testing.assert_array_equal(cut.columns["a"], kept)
    assert cut.first == FIRST + timedelta(hours=first_h)
    assert len(cut.offset_h) == len(kept)


def test_the_times_are_the_beginnings_of_the_hours() -> None:
    assert series(1, 2).times == [FIRST, FIRST + timedelta(hours=1)]
    assert series(1, 2).end == FIRST + timedelta(hours=2)
