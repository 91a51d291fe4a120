"""The last rung: right in the mean of its month, and open about knowing no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ingest.weather.climatology import Climatology
from twin.errors import ConfigError
from twin.forecasts import Rung

MONTHLY_MM = (147.0, 111.0, 96.0, 118.0, 90.0, 40.0, 20.0, 33.0, 72.0, 158.0, 172.0, 181.0)


@pytest.mark.parametrize("month", [1, 7])
def test_members_rain_on_average_what_the_month_does(month):
    found = Climatology(MONTHLY_MM, members=200, horizon_h=31 * 24).fetch(now=datetime(2026, month, 1, tzinfo=UTC))
    totals = [sum(member.rain_mm) for member in found.members]
    assert np.mean(totals) == pytest.approx(MONTHLY_MM[month - 1], rel=0.05)


def test_every_hour_has_its_own_month():
    source = Climatology((0.0, 300.0) + (0.0,) * 10, members=50)
    found = source.fetch(now=datetime(2026, 1, 31, 0, tzinfo=UTC))
    rain = np.array([member.rain_mm for member in found.members])
    assert rain[:, :24].sum() == 0
    assert rain[:, 24:].sum() > 0


def test_the_same_hour_is_the_same_in_every_forecast():
    source = Climatology(MONTHLY_MM)
    first = source.fetch(now=datetime(2026, 1, 1, 5, 40, tzinfo=UTC))
    later = source.fetch(now=datetime(2026, 1, 1, 8, tzinfo=UTC))
    assert first.valid_from == datetime(2026, 1, 1, 5, tzinfo=UTC)
    assert [m.rain_mm[3:] for m in first.members] == [m.rain_mm[:-3] for m in later.members]


def test_it_is_labelled_and_reaches_two_days():
    found = Climatology().fetch(now=datetime(2026, 1, 1, tzinfo=UTC))
    assert found.rung is Rung.CLIMATOLOGY
    assert found.valid_to - found.valid_from == timedelta(hours=48)
    assert "not the weather" in found.attribution


@pytest.mark.parametrize(
    ("monthly_mm", "wet_hour_mm"), [((1.0,) * 11, 1.0), ((-1.0,) * 12, 1.0), ((1.0,) * 12, 0.0), ((900.0,) * 12, 1.0)]
)
def test_impossible_climates_are_refused(monthly_mm, wet_hour_mm):
    with pytest.raises(ConfigError):
        Climatology(monthly_mm, wet_hour_mm=wet_hour_mm)
