"""MET Norway: following hour, six hours only where no hour is given, never both."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.weather.met_norway import MetNorway, parse_met_norway, parse_met_norway_steps
from twin.errors import ConfigError, InputError

NOW = datetime(2020, 7, 20, 12, tzinfo=UTC)
FOLDER = Path(__file__).parents[3] / "data" / "weather" / "met_norway"
WRAPPED = (FOLDER / "lat40.7lon-74.0altitude10_compact.json").read_bytes()


def a_row(time, *, one=None, six=None):
    data = {"instant": {"details": {"air_temperature": 11.0}}}
    if one is not None:
        data["next_1_hours"] = {"details": one}
    if six is not None:
        data["next_6_hours"] = {"details": six}
    return {"time": time, "data": data}


def a_body(*rows, unit="mm") -> bytes:
    meta = {"updated_at": "2026-01-01T00:30:00Z", "units": {"precipitation_amount": unit}}
    return json.dumps({"properties": {"meta": meta, "timeseries": rows}}).encode()


def rain(mm):
    return {"precipitation_amount": mm}


def test_the_recorded_forecast_is_what_counting_by_hand_gives():
    # 82 stamps: 55 with next_1_hours (all 0.0), 26 more with next_6_hours only, the last with neither;
    # of the 26: 3.0 + 0.4 + 0.6 + 0.1 + 2.6 + 0.9 + 1.1 + 0.5 = 9.2 mm
    parsed = parse_met_norway_steps(WRAPPED)
    (member,) = parsed.members
    assert [step.interval_s for step in member.steps] == [3600] * 55 + [21600] * 26
    assert sum(step.rain_mm for step in member.steps) == pytest.approx(9.2)
    assert member.steps[0].valid_from == datetime(2020, 7, 20, 11, tzinfo=UTC)
    assert member.steps[-1].valid_to == datetime(2020, 7, 29, 6, tzinfo=UTC)
    assert parsed.issued_at == datetime(2020, 7, 20, 1, 30, 57, tzinfo=UTC)


def test_recorded_steps_meet_without_overlap():
    (member,) = parse_met_norway_steps(WRAPPED).members
    assert all(before.valid_to == step.valid_from for before, step in pairwise(member.steps))


def test_the_bare_body_and_the_wrapped_one_are_the_same():
    bare = json.dumps(json.loads(WRAPPED)["data"]).encode()
    assert parse_met_norway_steps(bare) == parse_met_norway_steps(WRAPPED)


def test_on_the_hourly_grid_the_mass_is_the_same_and_six_hours_are_shared_evenly():
    ensemble = parse_met_norway(WRAPPED, now=NOW)
    (member,) = ensemble.members
    assert len(member.rain_mm) == 55 + 26 * 6
    assert sum(member.rain_mm) == pytest.approx(9.2)
    # 3.0 mm from 2020-07-23 00:00 on, 61 hours after the start
    assert member.rain_mm[61:67] == pytest.approx([0.5] * 6)
    assert member.temperature_c[0] == 26.5
    assert "MET Norway" in ensemble.attribution


def test_six_hours_count_only_where_no_hour_is_given():
    body = a_body(
        a_row("2026-01-01T00:00:00Z", one=rain(1.0), six=rain(6.0)),
        a_row("2026-01-01T01:00:00Z", one=rain(2.0), six=rain(7.0)),
        a_row("2026-01-01T02:00:00Z", six=rain(5.0)),
        a_row("2026-01-01T08:00:00Z"),
    )
    steps = parse_met_norway_steps(body).members[0].steps
    assert [(step.interval_s, step.rain_mm) for step in steps] == [(3600, 1.0), (3600, 2.0), (21600, 5.0)]


def test_six_hours_that_reach_over_a_later_stamp_are_unknown_until_it():
    body = a_body(a_row("2026-01-01T00:00:00Z", six=rain(6.0)), a_row("2026-01-01T02:00:00Z", one=rain(1.0)))
    steps = parse_met_norway_steps(body).members[0].steps
    assert [(step.interval_s, step.rain_mm) for step in steps] == [(7200, None), (3600, 1.0)]


def test_an_hour_without_an_amount_is_unknown():
    body = a_body(a_row("2026-01-01T00:00:00Z", one={}), a_row("2026-01-01T01:00:00Z", one=rain(1.0)))
    assert [step.rain_mm for step in parse_met_norway_steps(body).members[0].steps] == [None, 1.0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(a_body(unit="inch"), "not mm", id="unit"),
        pytest.param(a_body(a_row("2026-01-01T00:00:00", one=rain(1))), "no zone", id="naive time"),
        pytest.param(a_body(a_row("2026-01-01T00:00:00Z", one=rain(-1))), "negative", id="negative"),
        pytest.param(a_body(*[a_row("2026-01-01T00:00:00Z", one=rain(1))] * 2), "overlaps", id="the same hour twice"),
        pytest.param(a_body(), "empty", id="no steps"),
        pytest.param(b"{}", "properties", id="another body"),
        pytest.param(b'{"properties": {"meta": {}}}', "units", id="no units"),
    ],
)
def test_what_is_no_forecast_is_refused(body, says):
    with pytest.raises(InputError, match=says):
        parse_met_norway_steps(body)


def test_nobody_asks_met_norway_anonymously():
    with pytest.raises(ConfigError, match="TWIN_WEATHER_USER_AGENT"):
        MetNorway("http://127.0.0.1", 41.0, -8.0, user_agent=" ")
