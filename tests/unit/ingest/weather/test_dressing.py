"""Members made around a forecast that has none: centred on it, wider with lead time, repeatable, honest about gaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ingest.weather.dressing import with_members
from twin.forecasts import WeatherEnsemble, WeatherMember

T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_forecast(rain=(0.0,) * 10 + (20.0,) * 2 + (0.0,) * 36, *, interval_s=3600, **changes):
    forecast = WeatherEnsemble(
        source="somebody",
        issued_at=T0,
        available_at=T0 + timedelta(minutes=10),
        gage_id="*",
        valid_from=T0,
        interval_s=interval_s,
        members=(WeatherMember("0", tuple(rain), (9.0,) * len(rain)),),
    )
    return replace(forecast, **changes)


def made(forecast):
    return np.array([m.rain_mm for m in with_members(forecast).members[1:]], dtype=float)


def test_the_given_member_is_kept_and_the_others_say_that_they_are_made():
    given = a_forecast()
    found = with_members(given)
    assert found.members[0] == given.members[0]
    assert [m.member for m in found.members[1:]] == [f"dressed-{i:02d}" for i in range(1, 20)]
    assert found.source == "somebody (dressed)"
    assert (found.valid_from, found.valid_to, found.issued_at) == (given.valid_from, given.valid_to, given.issued_at)
    assert with_members(found) == found


def test_the_same_forecast_gives_the_same_members_and_another_one_others():
    again = with_members(a_forecast(available_at=T0 + timedelta(hours=2)))
    assert with_members(a_forecast()).members == again.members
    other = a_forecast((0.0,) * 10 + (20.1,) * 2 + (0.0,) * 36)
    assert not np.array_equal(made(other) > 0, made(a_forecast()) > 0)


def test_a_storm_comes_earlier_and_later_lighter_and_heavier():
    rain = made(a_forecast())
    begins = [np.flatnonzero(row)[0] for row in rain]
    assert min(begins) < 10 < max(begins)
    assert rain.max(axis=1).min() < 20 < rain.max(axis=1).max()


def test_amounts_are_right_in_the_mean_and_ever_wider_with_lead_time():
    """A steady rain shows the factor alone: of mean 1, with the standard deviation that a lognormal of sigma_a has."""
    steady = [made(a_forecast((5.0 + i / 1000,) * 48)) / (5.0 + i / 1000) for i in range(200)]
    factors = np.concatenate(steady)
    for lead_h in (1, 24, 48):
        sigma = min(0.9, 0.15 + 0.02 * lead_h)
        values = factors[:, lead_h - 1]
        spread = np.sqrt(np.exp(sigma**2) - 1)
        assert values.mean() == pytest.approx(1.0, abs=4 * spread / np.sqrt(len(values)))
        assert values.std() == pytest.approx(spread, rel=0.2)


def test_delays_are_in_hours_whatever_the_interval():
    """A storm 10 h ahead is off by 1.1 h (one standard deviation): a step of an hour, or six of ten minutes."""

    def spread_h(interval_s):
        per_hour = 3600 // interval_s
        begins = []
        for i in range(60):
            storm = (0.0,) * (10 * per_hour) + (9.0 + i / 100,) * per_hour + (0.0,) * (10 * per_hour)
            rain = made(a_forecast(storm, interval_s=interval_s))
            begins += [np.flatnonzero(row)[0] / per_hour for row in rain if row.any()]
        return np.std(begins)

    assert spread_h(3600) == pytest.approx(1.1, rel=0.25)
    assert spread_h(600) == pytest.approx(1.1, rel=0.25)


def test_what_is_unknown_stays_unknown_and_never_becomes_dry():
    rain = [3.0] * 48
    rain[5] = rain[30] = None
    for member in with_members(a_forecast(rain)).members:
        assert [i for i, value in enumerate(member.rain_mm) if value is None] == [5, 30]
        assert min(value for value in member.rain_mm if value is not None) > 0


def test_a_forecast_without_a_stated_issue_counts_from_when_it_was_got():
    found = with_members(a_forecast(issued_at=None))
    assert len(found.members) == 20


def test_no_members_stay_none():
    assert with_members(a_forecast(members=())).members == ()
