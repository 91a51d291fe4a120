"""Open-Meteo: preceding hour, zone offset, units, members of several models, unknown values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.weather.open_meteo import parse_open_meteo, parse_open_meteo_steps
from ingest.weather.steps import ForecastStep
from twin.errors import InputError

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SAMPLE = Path(__file__).parents[3] / "data" / "weather" / "open_meteo" / "ensemble_shape_SYNTHETIC.json"


def a_response(*, times, unit="mm", offset_s=0, **series) -> bytes:
    units = {"time": "iso8601", **dict.fromkeys(series, unit)}
    hourly = {"time": times, **series}
    return json.dumps({"utc_offset_seconds": offset_s, "hourly_units": units, "hourly": hourly}).encode()


def steps_of(body: bytes, member: str) -> list[ForecastStep]:
    return list(next(m for m in parse_open_meteo_steps(body).members if m.member == member).steps)


def test_a_stamp_ends_its_hour():
    first = steps_of(SAMPLE.read_bytes(), "00")[0]
    assert first == ForecastStep(datetime(2026, 11, 21, 23, tzinfo=UTC), 3600, 0.0)


def test_the_control_run_and_every_member_are_read_as_they_stand():
    parsed = parse_open_meteo_steps(SAMPLE.read_bytes())
    rain = {member.member: [step.rain_mm for step in member.steps] for member in parsed.members}
    assert rain == {"00": [0.0, 4.2, 1.1], "01": [0.0, 9.8, 0.3], "02": [0.2, None, None]}
    assert parsed.issued_at is None


def test_unknown_steps_stay_unknown_on_the_grid():
    ensemble = parse_open_meteo(SAMPLE.read_bytes(), now=NOW)
    assert [member.rain_mm for member in ensemble.members] == [(0.0, 4.2, 1.1), (0.0, 9.8, 0.3), (0.2, None, None)]
    assert ensemble.valid_from == datetime(2026, 11, 21, 23, tzinfo=UTC)
    assert (ensemble.interval_s, ensemble.issued_at, ensemble.available_at) == (3600, None, NOW)
    assert "Open-Meteo" in ensemble.attribution


def test_the_offset_of_the_response_holds_for_every_row_also_over_a_change_of_clocks():
    # Lisbon, 2026-03-29: clocks go from +0 to +1 at 01:00 UTC. The response has the one offset 3600.
    times = ["2026-03-29T00:00", "2026-03-29T01:00", "2026-03-29T02:00", "2026-03-29T03:00"]
    steps = steps_of(a_response(times=times, offset_s=3600, precipitation=[1, 2, 3, 4]), "00")
    assert [step.valid_to for step in steps] == [
        datetime(2026, 3, 28, 23, tzinfo=UTC) + timedelta(hours=hour) for hour in range(4)
    ]


def test_unix_stamps_are_utc_whatever_the_offset():
    body = a_response(times=[1767225600, 1767229200], offset_s=3600, precipitation=[1.0, 2.0])
    assert steps_of(body, "00")[0].valid_to == datetime(2026, 1, 1, tzinfo=UTC)


def test_inches_become_millimetres():
    body = a_response(times=["2026-01-01T00:00"], unit="inch", precipitation=[0.5])
    assert steps_of(body, "00")[0].rain_mm == pytest.approx(12.7)


def test_a_gap_in_the_rows_is_not_rain_of_three_hours():
    times = ["2026-01-01T00:00", "2026-01-01T01:00", "2026-01-01T04:00", "2026-01-01T05:00"]
    ensemble = parse_open_meteo(a_response(times=times, precipitation=[1, 2, 3, 4]), now=NOW)
    assert ensemble.members[0].rain_mm == (1, 2, None, None, 3, 4)


def test_members_of_several_models_have_ids_of_model_and_number():
    series = {
        "precipitation_icon_seamless_eps": [0],
        "precipitation_member01_icon_seamless_eps": [1],
        "precipitation_ecmwf_ifs025_ensemble": [2],
        "precipitation_member01_ecmwf_ifs025_ensemble": [3],
    }
    parsed = parse_open_meteo_steps(a_response(times=["2026-01-01T00:00"], **series))
    assert {member.member: member.steps[0].rain_mm for member in parsed.members} == {
        "icon_seamless_eps-00": 0,
        "icon_seamless_eps-01": 1,
        "ecmwf_ifs025_ensemble-00": 2,
        "ecmwf_ifs025_ensemble-01": 3,
    }


def test_probabilities_are_no_members():
    units = {"precipitation": "mm", "precipitation_probability": "%", "precipitation_probability_gfs_seamless": "%"}
    hourly = {"time": ["2026-01-01T00:00"], "precipitation": [1], "precipitation_probability": [80]}
    hourly["precipitation_probability_gfs_seamless"] = [70]
    parsed = parse_open_meteo_steps(json.dumps({"hourly_units": units, "hourly": hourly}).encode())
    assert [member.member for member in parsed.members] == ["00"]


def test_temperature_comes_with_its_member():
    units = {"precipitation_member01": "mm", "temperature_2m_member01": "°F"}
    hourly = {"time": ["2026-01-01T00:00"], "precipitation_member01": [1], "temperature_2m_member01": [50]}
    body = json.dumps({"hourly_units": units, "hourly": hourly}).encode()
    assert steps_of(body, "01")[0].temperature_c == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(
            a_response(times=["2026-01-01T00:00"], precipitation=[-0.1]), r"precipitation\[0\]", id="negative"
        ),
        pytest.param(a_response(times=["2026-01-01T00:00"], precipitation=[True]), "number", id="a boolean"),
        pytest.param(a_response(times=["2026-01-01T00:00"], precipitation=["1"]), "number", id="a text"),
        pytest.param(a_response(times=["2026-01-01T00:00"], precipitation=[1, 2]), "2 values for 1", id="too many"),
        pytest.param(a_response(times=["2026-01-01T00:00"], unit="cm", precipitation=[1]), "'cm'", id="unit"),
        pytest.param(a_response(times=["2026-01-01T00:00"] * 2, precipitation=[1, 2]), "rise", id="repeated time"),
        pytest.param(a_response(times=["yesterday"], precipitation=[1]), "no time", id="no time"),
        pytest.param(a_response(times=["2026-01-01T00:00"]), "no hourly precipitation", id="nothing asked"),
        pytest.param(b'{"error": true, "reason": "Daily limit exceeded"}', "Daily limit", id="an error"),
        pytest.param(b'{"hourly": {"time": [], "precipitation": [NaN]}}', "NaN", id="NaN"),
        pytest.param(b'{"hourly": 1e999}', "too large", id="infinite"),
        pytest.param(b'{"hourly": {}, "hourly": {}}', "twice", id="repeated key"),
        pytest.param(b"[" * 100_000, "nested", id="nested"),
        pytest.param(b"[]", "object", id="several places"),
        pytest.param(b"\xff\xfe", "JSON", id="no text"),
    ],
)
def test_what_is_no_response_is_refused(body, says):
    with pytest.raises(InputError, match=says):
        parse_open_meteo_steps(body)
