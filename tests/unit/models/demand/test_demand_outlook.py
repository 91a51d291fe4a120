from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from models.demand.outlook import Outlook, Rung, look_ahead
from models.demand.scores import score
from twin.errors import InputError
from twin.hourly import HourlySeries

ROME = ZoneInfo("Europe/Rome")
ORIGIN = datetime(2022, 7, 25, tzinfo=ROME)
DAYS = 120
NOISE = 0.5


def calendar(first: datetime, hours: int, *, holidays: tuple[str, ...] = ()) -> HourlySeries:
    local = [(first + timedelta(hours=h)).astimezone(ROME) for h in range(hours)]
    offset = np.array([t.utcoffset().total_seconds() / 3600 for t in local])  # type: ignore[union-attr]
    holiday = np.array([float(t.date().isoformat() in holidays) for t in local])
    return HourlySeries(first, offset, {"CEST": offset - 1, "Holiday": holiday})


def town(origin: datetime, *, days: int = DAYS, seed: int = 3) -> tuple[HourlySeries, HourlySeries, HourlySeries]:
    """Two districts by the wall clock: people get up later at the weekend, and water their gardens when it is hot."""
    first = (origin - timedelta(days=days)).astimezone(UTC)
    hours = days * 24 + 168
    rng = np.random.default_rng(seed)
    warmth = 20 + np.repeat(np.convolve(rng.normal(0, 6, hours // 24 + 4), np.ones(3) / 3, "same"), 24)[:hours]
    local = [(first + timedelta(hours=h)).astimezone(ROME) for h in range(hours)]
    peak = np.array([t.hour == (7 if t.weekday() < 5 else 9) for t in local])
    garden = np.array([19 <= t.hour <= 21 for t in local]) * np.maximum(warmth - 18, 0)
    series = {
        f"D{k}": scale * (10 + 8 * peak + 0.8 * garden + rng.normal(0, NOISE, hours)) for k, scale in ((1, 1), (2, 5))
    }
    offset = calendar(first, hours).offset_h
    return (
        HourlySeries(first, offset, series),
        calendar(first, hours + 24),
        HourlySeries(first, offset, {"Temperature": warmth, "Rain": np.zeros(hours)}),
    )


def forecast(inflows: HourlySeries, days: HourlySeries, sky: HourlySeries | None, **more: object) -> list[Outlook]:
    return list(look_ahead(inflows, days, sky, ORIGIN, **more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def learned() -> list[Outlook]:
    return forecast(*town(ORIGIN), levels=(0.1, 0.5, 0.9))


def test_comes_near_what_cannot_be_known_and_beats_the_last_four_weeks(learned: list[Outlook]) -> None:
    came = town(ORIGIN)[0].between(ORIGIN, ORIGIN + timedelta(hours=168))
    for outlook, scale in zip(learned, (1, 5), strict=True):
        observed = came.columns[outlook.district]
        ours, baseline = score(outlook.demand, observed), score(outlook.four_weeks, observed)
        least = scale * NOISE * np.sqrt(2 / np.pi)  # the mean absolute deviation of the noise itself
        assert outlook.rung is Rung.LEARNED
        assert ours.pi1 < 2 * least
        assert ours.pi3 < 1.6 * least
        assert ours.pi3 < 0.9 * baseline.pi3


def test_quantiles_are_in_order_and_hold_what_they_say(learned: list[Outlook]) -> None:
    came = town(ORIGIN)[0].between(ORIGIN, ORIGIN + timedelta(hours=168))
    for outlook in learned:
        for (_, lower), (_, higher) in pairwise(outlook.quantiles.items()):
            assert (lower <= higher).all()
        within = (came.columns[outlook.district] <= outlook.quantiles[0.9]).mean()
        assert 0.75 <= within <= 0.98
        assert np.abs(outlook.quantiles[0.5] - outlook.demand).mean() < outlook.demand.mean() / 10


def test_nothing_from_the_origin_on_is_used_whatever_the_file_holds(learned: list[Outlook]) -> None:
    inflows, days, sky = town(ORIGIN)
    begun = (ORIGIN - inflows.first) // timedelta(hours=1)
    future = {name: np.where(np.arange(inflows.hours) < begun, v, 1e6) for name, v in inflows.columns.items()}
    cut = inflows.between(inflows.first, ORIGIN)
    for told in (replace(inflows, columns=future), cut):
        for ours, theirs in zip(learned, forecast(told, days, sky), strict=True):
            np.testing.assert_array_equal(ours.demand, theirs.demand)


def test_the_last_known_hour_is_used() -> None:
    inflows, days, sky = town(ORIGIN)
    higher = {name: values.copy() for name, values in inflows.columns.items()}
    last = (ORIGIN - inflows.first) // timedelta(hours=1) - 1
    higher["D1"][last] += 3
    changed = forecast(replace(inflows, columns=higher), days, sky)
    same = forecast(inflows, days, sky)
    assert (changed[0].demand != same[0].demand).any()


@pytest.mark.parametrize("begin", [datetime(2022, 10, 27, tzinfo=ROME), datetime(2022, 3, 24, tzinfo=ROME)])
def test_people_get_up_by_the_wall_clock_also_after_it_was_changed(begin: datetime) -> None:
    inflows, days, sky = town(begin, days=110)
    for outlook in look_ahead(inflows, days, sky, begin):
        for day in range(1, 7):
            local = [begin.astimezone(UTC) + timedelta(hours=h) for h in range(168)]
            hours = [h for h, t in enumerate(local) if t.astimezone(ROME).day == (begin + timedelta(days=day)).day]
            peak = max(hours, key=lambda h: outlook.demand[h] if local[h].astimezone(ROME).hour < 12 else 0)
            weekday = local[peak].astimezone(ROME).weekday()
            assert local[peak].astimezone(ROME).hour == (7 if weekday < 5 else 9)


def test_a_short_past_gives_the_mean_of_its_weeks() -> None:
    inflows, days, sky = town(ORIGIN, days=20)
    for outlook in forecast(inflows, days, sky, levels=(0.5,)):
        assert outlook.rung is Rung.SEASONAL
        assert outlook.quantiles == {}
        assert np.isfinite(outlook.demand).all()


def test_a_district_without_a_past_is_not_known_and_spoils_no_other() -> None:
    inflows, days, sky = town(ORIGIN)
    silent = replace(inflows, columns={**inflows.columns, "new": np.full(inflows.hours, np.nan)})
    *others, new = forecast(silent, days, sky)
    assert new.rung is Rung.NOTHING
    assert np.isnan(new.demand).all()
    assert all(np.isfinite(outlook.demand).all() and outlook.rung is Rung.LEARNED for outlook in others)


def test_gaps_outliers_and_no_weather_do_not_stop_it() -> None:
    inflows, days, _ = town(ORIGIN)
    rng = np.random.default_rng(5)
    holes = {name: np.where(rng.random(inflows.hours) < 0.2, np.nan, v) for name, v in inflows.columns.items()}
    holes["D1"][50:350:25] = 1e5
    holes["D2"][-168 - 30 : -168] = np.nan
    for outlook in forecast(replace(inflows, columns=holes), days, None):
        assert outlook.rung is Rung.LEARNED
        assert np.isfinite(outlook.demand).all()
        assert outlook.demand.max() < 5 * 60


def test_without_the_column_cest_the_times_themselves_say_the_local_hour() -> None:
    inflows, days, sky = town(ORIGIN)
    written = replace(days, columns={"Holiday": days.columns["Holiday"]})
    for ours, theirs in zip(forecast(inflows, days, sky), forecast(inflows, written, sky), strict=True):
        np.testing.assert_array_equal(ours.demand, theirs.demand)


def test_a_calendar_with_a_gap_is_refused_with_the_hour() -> None:
    inflows, days, sky = town(ORIGIN)
    until = ORIGIN + timedelta(hours=100)
    with pytest.raises(InputError, match=r"the calendar says nothing of 2022-07-29T02:00:00Z"):
        forecast(inflows, days.between(days.first, until), sky)


def test_an_origin_before_the_first_inflow_is_refused() -> None:
    inflows, days, sky = town(ORIGIN)
    with pytest.raises(InputError, match="no inflow is known before"):
        list(look_ahead(inflows, days, sky, inflows.first))


def test_fewer_hours_are_the_first_of_a_week(learned: list[Outlook]) -> None:
    inflows, days, sky = town(ORIGIN)
    ended = days.between(days.first, ORIGIN + timedelta(hours=30))
    for ours, theirs in zip(forecast(inflows, ended, sky, hours=30), learned, strict=True):
        np.testing.assert_array_equal(ours.demand, theirs.demand[:30])


def test_at_most_a_week_can_be_forecast() -> None:
    with pytest.raises(InputError, match="169 hours ahead: at least 1 and at most 168"):
        forecast(*town(ORIGIN), hours=169)
