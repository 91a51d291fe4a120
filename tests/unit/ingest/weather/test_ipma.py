"""IPMA: forecasts have no millimetres; observations end their hour, -99.0 is unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.weather.ipma import parse_ipma, parse_ipma_steps
from twin.errors import InputError

NOW = datetime(2022, 7, 28, 12, tzinfo=UTC)
FOLDER = Path(__file__).parents[3] / "data" / "weather" / "ipma"
FORECAST = (FOLDER / "1010500.json").read_bytes()
OBSERVED = (FOLDER / "observations_3hours_subset.json").read_bytes()


def test_a_forecast_has_no_members_and_no_invented_time_of_issue():
    assert parse_ipma_steps(FORECAST).members == ()
    ensemble = parse_ipma(FORECAST, now=NOW)
    assert (ensemble.members, ensemble.issued_at, ensemble.available_at) == ((), None, NOW)
    assert "IPMA" in ensemble.attribution


def test_the_daily_forecast_has_none_either():
    body = b'{"owner": "IPMA", "data": [{"precipitaProb": "100.0", "forecastDate": "2022-07-28"}]}'
    assert parse_ipma_steps(body).members == ()


def test_observations_end_their_hour_in_utc():
    stations = {member.member: member.steps for member in parse_ipma_steps(OBSERVED).members}
    assert len(stations) == 196
    wet = stations["1200533"]
    assert [step.rain_mm for step in wet] == [1.6, 2.2, 0.1]
    assert wet[0].valid_from == datetime(2022, 7, 27, 23, tzinfo=UTC)
    assert wet[0].valid_to == datetime(2022, 7, 28, tzinfo=UTC)
    assert {step.interval_s for step in wet} == {3600}


def test_minus_99_and_absent_stations_are_unknown_never_dry():
    stations = {member.member: member.steps for member in parse_ipma_steps(OBSERVED).members}
    assert stations["6212121"][0].rain_mm is None  # precAcumulada -99.0
    assert [step.rain_mm for step in stations["6212125"]] == [None, None, None]  # null in the payload


def test_observations_are_no_possible_futures():
    with pytest.raises(InputError, match="observations"):
        parse_ipma(OBSERVED, now=NOW)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b'{"2022-07-28T00:00": {"1": {"precAcumulada": -3.0}}}', "negative", id="negative"),
        pytest.param(b'{"2022-13-28T00:00": {}}', "no time", id="month 13"),
        pytest.param(b'{"0001-01-01T00:00": {}}', "no time", id="before time"),
        pytest.param(b'{"owner": "IPMA"}', "no hour", id="another body"),
        pytest.param(b"{}", "empty", id="empty"),
        pytest.param(b"[]", "object", id="an empty list"),
    ],
)
def test_what_is_neither_is_refused(body, says):
    with pytest.raises(InputError, match=says):
        parse_ipma_steps(body)
