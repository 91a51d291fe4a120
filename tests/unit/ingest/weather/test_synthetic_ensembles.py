"""Ensembles made from known weather: labelled, repeatable, never the truth, and right in the mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ingest.weather.synthetic import SyntheticEnsembles
from twin.errors import InputError, UnavailableError

T0 = datetime(2016, 9, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hourly(rain, temperature=15.0):
    return [(T0 + (i + 1) * HOUR, amount, temperature) for i, amount in enumerate(rain)]


def stormy(hours=24 * 60, seed=1):
    draw = np.random.default_rng(seed)
    bursts = np.repeat(draw.random(hours // 4) < 0.08, 4)
    return np.where(bursts, draw.exponential(4.0, hours), 0.0).tolist()


def test_it_is_labelled_synthetic_and_says_whose_weather_it_is():
    found = SyntheticEnsembles(hourly(stormy()), attribution="somebody").fetch(now=T0 + 30 * HOUR)
    assert found.synthetic
    assert found.attribution == "somebody"
    assert len(found.members) == 20


def test_it_is_issued_every_six_hours_and_reaches_24_hours_beyond_the_next_issue():
    source = SyntheticEnsembles(hourly(stormy()))
    found = source.fetch(now=T0 + timedelta(hours=35, minutes=59))
    assert found.issued_at == found.available_at == found.valid_from == T0 + 30 * HOUR
    assert found.valid_to == T0 + 60 * HOUR
    assert source.fetch(now=T0 + 30 * HOUR) == found
    assert source.fetch(now=T0 + 36 * HOUR) != found


def test_the_same_seed_and_hour_give_the_same_forecast_and_another_seed_another():
    rain = hourly(stormy())
    first, again, other = (SyntheticEnsembles(rain, seed=seed).fetch(now=T0 + 30 * HOUR) for seed in (7, 7, 8))
    assert first == again
    assert first.members != other.members


def test_no_member_leaks_the_truth():
    truth = stormy()
    source = SyntheticEnsembles(hourly(truth))
    alike, wet_issues = [0] * 20, 0
    for hour in range(24, 24 * 50, 6):
        window = tuple(round(amount, 2) for amount in truth[hour : hour + 30])
        wet_issues += sum(window) > 0
        for place, member in enumerate(source.fetch(now=T0 + hour * HOUR).members):
            alike[place] += sum(window) > 0 and member.rain_mm == window
    assert wet_issues > 100
    assert max(alike) <= 1  # by the chance of rounding a few hundredths, never by rule


def test_dry_weather_stays_dry():
    found = SyntheticEnsembles(hourly([0.0] * 100)).fetch(now=T0 + 30 * HOUR)
    assert all(set(member.rain_mm) == {0.0} for member in found.members)


def test_over_many_issues_the_mean_rain_is_that_of_the_weather():
    truth = stormy(hours=24 * 400)
    ratios = []
    for seed in range(5):
        source = SyntheticEnsembles(hourly(truth), members=3, issue_every_h=24, seed=seed)
        made = known = 0.0
        for hour in range(24, 24 * 390, 24):
            made += np.mean([np.sum(member.rain_mm) for member in source.fetch(now=T0 + hour * HOUR).members])
            known += np.sum(truth[hour : hour + 48])
        ratios.append(made / known)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.06)  # 5 seeds of 5 % each: 2.2 % standard error


def test_errors_grow_with_lead_time():
    # one spike of rain each, 3 and 30 hours ahead: the far one is misplaced more often and its amount varies more
    def spread(lead):
        rain = [0.0] * 200
        rain[100 + lead] = 50.0
        misplaced, amounts = 0, []
        for seed in range(40):
            found = SyntheticEnsembles(hourly(rain), seed=seed, horizon_h=42, issue_every_h=1).fetch(
                now=T0 + 100 * HOUR
            )
            for member in found.members:
                misplaced += member.rain_mm[lead] == 0
                amounts += [amount for amount in member.rain_mm if amount > 0]
        return misplaced, np.std(np.log(amounts))

    (near_misplaced, near_spread), (far_misplaced, far_spread) = spread(3), spread(30)
    assert far_misplaced > 1.5 * near_misplaced
    assert far_spread > 2 * near_spread


def test_the_ensemble_is_not_centred_on_the_truth():
    # the common error: the median member's amount is off by as much as a member is from the median, issue by issue
    rain = [10.0] * 400
    errors, spreads = [], []
    for seed in range(80):
        found = SyntheticEnsembles(hourly(rain), seed=seed, members=40).fetch(now=T0 + 102 * HOUR)
        logs = np.log([member.rain_mm[20] / 10.0 for member in found.members])
        errors.append(np.mean(logs))
        spreads.append(np.std(logs))
    assert np.std(errors) == pytest.approx(np.mean(spreads), rel=0.2)


def test_beyond_the_known_weather_it_is_unavailable():
    source = SyntheticEnsembles(hourly(stormy(hours=48)))
    with pytest.raises(UnavailableError, match="30 h"):
        source.fetch(now=T0 + 24 * HOUR)
    with pytest.raises(UnavailableError):
        source.fetch(now=T0 - HOUR)


def test_weather_with_a_gap_is_refused():
    rows = hourly(stormy(hours=48))
    with pytest.raises(InputError, match="gap"):
        SyntheticEnsembles(rows[:10] + rows[11:])
    with pytest.raises(InputError, match="no row"):
        SyntheticEnsembles([])
