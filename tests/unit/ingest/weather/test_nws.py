"""NWS: totals per ISO interval, mixed lengths."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.weather.nws import parse_nws, parse_nws_steps
from twin.errors import InputError

NOW = datetime(2022, 2, 4, 4, tzinfo=UTC)
FOLDER = Path(__file__).parents[3] / "data" / "weather" / "nws"
RECORDED = (FOLDER / "detailed_forecast.json").read_bytes()


def a_body(*values, uom="wmoUnit:mm") -> bytes:
    rain = {"uom": uom, "values": [{"validTime": time, "value": value} for time, value in values]}
    return json.dumps({"properties": {"quantitativePrecipitation": rain}}).encode()


def test_the_recorded_forecast_is_what_counting_by_hand_gives():
    # 27 values: one of 3 h and 26 of 6 h, 20.066 mm in all; the third and fourth are 2.032 and 4.826 mm
    parsed = parse_nws_steps(RECORDED)
    (member,) = parsed.members
    assert [step.interval_s for step in member.steps] == [3 * 3600] + [6 * 3600] * 26
    assert [step.rain_mm for step in member.steps[:4]] == [0, 0, 2.032, 4.826]
    assert sum(step.rain_mm for step in member.steps) == pytest.approx(20.066)
    assert member.steps[0].valid_from == datetime(2022, 2, 3, 21, tzinfo=UTC)
    assert all(before.valid_to == step.valid_from for before, step in pairwise(member.steps))
    assert parsed.issued_at == datetime(2022, 2, 4, 3, 15, 41, tzinfo=UTC)


def test_on_the_hourly_grid_the_mass_is_the_same():
    ensemble = parse_nws(RECORDED, now=NOW)
    assert len(ensemble.members[0].rain_mm) == 3 + 26 * 6
    assert sum(ensemble.members[0].rain_mm) == pytest.approx(20.066)
    assert ensemble.members[0].rain_mm[9:15] == pytest.approx([2.032 / 6] * 6)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("PT1H", 3600), ("PT6H", 21600), ("P1D", 86400), ("P1DT6H", 108000), ("PT90M", 5400), ("PT0H30M", 1800)],
)
def test_durations(duration, seconds):
    body = a_body((f"2026-01-01T00:00:00+00:00/{duration}", 1.5))
    assert parse_nws_steps(body).members[0].steps[0].interval_s == seconds


def test_null_is_unknown_and_inches_are_converted():
    body = a_body(("2026-01-01T00:00:00-05:00/PT1H", None), ("2026-01-01T01:00:00-05:00/PT1H", 1), uom="wmoUnit:[in_i]")
    steps = parse_nws_steps(body).members[0].steps
    assert [step.rain_mm for step in steps] == [None, pytest.approx(25.4)]
    assert steps[0].valid_from == datetime(2026, 1, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param((FOLDER / "gridpoints_forecast_hourly_si.json").read_bytes(), "not for /forecast", id="texts"),
        pytest.param(
            a_body(("2026-01-01T00:00:00Z/PT6H", 1), ("2026-01-01T05:00:00Z/PT1H", 1)), "overlaps", id="overlap"
        ),
        pytest.param(a_body(("2026-01-01T00:00:00Z/P", 1)), "no length", id="no length"),
        pytest.param(a_body(("2026-01-01T00:00:00Z/P1M", 1)), "interval", id="a month"),
        pytest.param(a_body(("2026-01-01T00:00:00Z", 1)), "interval", id="no duration"),
        pytest.param(a_body(("2026-01-01T00:00:00/PT1H", 1)), "no zone", id="naive"),
        pytest.param(a_body(("2026-01-01T00:00:00Z/PT1H", -1)), "negative", id="negative"),
        pytest.param(a_body(("2026-01-01T00:00:00Z/PT1H", 1), uom="wmoUnit:kg"), "wmoUnit:kg", id="unit"),
        pytest.param(a_body(("9999-12-31T00:00:00Z/P999D", 1)), "never ends", id="endless"),
    ],
)
def test_what_is_no_gridpoint_is_refused(body, says):
    with pytest.raises(InputError, match=says):
        parse_nws_steps(body)
