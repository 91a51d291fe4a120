from datetime import date

import numpy as np

from models.demand.surroundings import WallClock
from models.demand.timers import put_on_clock, without_timers

WEEKS = 8
HOURS = WEEKS * 168
CHANGE = 5 * 168 + 26  # summer time ends: from here on the clock shows an hour less


def clock() -> WallClock:
    hours = np.arange(HOURS) + 1
    return WallClock(np.where(np.arange(HOURS) < CHANGE, hours, hours - 1), date(2022, 9, 26))


def people(shown: np.ndarray) -> np.ndarray:
    """Draw 10 at night and 20 by day, with a peak of 40 at seven, by the clock on the wall."""
    of_day = shown % 24
    return np.where(of_day == 7, 40.0, np.where((of_day > 7) & (of_day < 22), 20.0, 10.0))


def demand() -> np.ndarray:
    """Draw what people do, a little unevenly, and let a timer flush for an hour each week, whatever the wall shows."""
    values = people(clock().clock_h) + 0.1 * np.sin(np.arange(HOURS))
    values[3::168] += 15.0
    return values


def test_bursts_are_found_and_daily_peaks_are_not() -> None:
    rest, bursts = without_timers(demand(), clock().clock_h)
    assert np.flatnonzero(bursts).tolist() == list(range(3, HOURS, 168))
    np.testing.assert_allclose(rest + bursts, demand())
    np.testing.assert_allclose(bursts[bursts > 0], 15.0, atol=0.5)


def test_people_change_the_clock_and_timers_do_not() -> None:
    after = put_on_clock(clock(), demand(), HOURS - 1)
    shown = np.arange(len(after))
    bursts = np.flatnonzero(after - people(shown) > 10)
    assert np.diff(bursts).tolist() == [168] * (WEEKS - 1)
    week_before, week_after = CHANGE - 168 + 24, CHANGE + 24
    assert after[week_before : week_before + 24].argmax() == after[week_after : week_after + 24].argmax()


def test_before_the_change_nothing_is_moved() -> None:
    rest, _ = without_timers(demand(), clock().clock_h)
    unmoved = clock().put(demand())
    np.testing.assert_allclose(put_on_clock(clock(), demand(), 0)[:CHANGE], unmoved[:CHANGE])
    assert np.isfinite(rest).all()


def test_what_is_unknown_stays_so() -> None:
    nothing = np.full(HOURS, np.nan)
    assert np.isnan(put_on_clock(clock(), nothing, HOURS - 1)).all()
