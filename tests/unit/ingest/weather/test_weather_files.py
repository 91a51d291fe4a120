"""h2twin's own weather files, and a folder of them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from ingest.weather.files import WeatherFiles, parse_file
from twin.errors import InputError, NaiveDatetimeError, UnavailableError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_document(**changes):
    document = {
        "source": "hindcast", "issued_at": "2026-01-01T06:00:00Z", "gage_id": "G1",
        "valid_from": "2026-01-01T07:00:00+01:00", "interval_s": 900,
        "members": [{"member": 0, "rain_mm": [0.0, None, 1.2], "temperature_c": [9.1, 9, None]},
                    {"member": "b", "rain_mm": [3]}],
    }  # fmt: skip
    return {**document, **changes}


def parsed(**changes):
    return parse_file(json.dumps(a_document(**changes)).encode(), now=NOW)


def members(**changes):
    return {"members": [{"member": 4, "rain_mm": [0.0, 1.0], **changes}]}


def test_a_file_is_read_as_it_stands():
    ensemble = parsed()
    assert (ensemble.source, ensemble.gage_id, ensemble.interval_s) == ("hindcast", "G1", 900)
    assert ensemble.issued_at == ensemble.valid_from == datetime(2026, 1, 1, 6, tzinfo=UTC)
    assert ensemble.available_at == NOW
    assert [member.member for member in ensemble.members] == ["0", "b"]
    assert ensemble.members[0].rain_mm == (0.0, None, 1.2)
    assert ensemble.members[0].temperature_c == (9.1, 9.0, None)
    assert ensemble.members[1].temperature_c == ()


def test_no_time_of_issue_is_none():
    assert parsed(issued_at=None).issued_at is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"surprise": 1}, "unknown keys: surprise", id="unknown key"),
        pytest.param(members(colour="red"), "unknown keys: colour", id="unknown key of a member"),
        pytest.param(members(rain_mm=[0.0, -0.2]), "member 4 step 1", id="negative rain"),
        pytest.param(members(rain_mm=["1"]), "member 4 step 0", id="a text"),
        pytest.param(members(temperature_c=[1]), "1 temperatures for 2 steps", id="temperatures"),
        pytest.param(members(member=None), r"members\[0\].member", id="no name"),
        pytest.param(
            {"members": [{"member": 1, "rain_mm": []}, {"member": "1", "rain_mm": []}]}, "twice: 1", id="twice"
        ),
        pytest.param({"interval_s": 0}, "interval_s", id="no interval"),
        pytest.param({"interval_s": 900.0}, "interval_s", id="a broken interval"),
        pytest.param({"interval_s": True}, "interval_s", id="a boolean interval"),
        pytest.param({"source": 3}, "source", id="source"),
        pytest.param({"valid_from": "9999-12-31T23:50:00Z"}, "last day", id="beyond time"),
    ],
)
def test_what_is_wrong_is_named(changes, says):
    with pytest.raises(InputError, match=says):
        parsed(**changes)


@pytest.mark.parametrize("key", ["source", "issued_at", "gage_id", "valid_from", "interval_s", "members"])
def test_every_key_is_needed(key):
    document = a_document()
    del document[key]
    with pytest.raises(InputError, match=f"lacks {key}"):
        parse_file(json.dumps(document).encode(), now=NOW)


@pytest.mark.parametrize("key", ["issued_at", "valid_from"])
def test_naive_times_are_refused(key):
    with pytest.raises(NaiveDatetimeError, match=key):
        parsed(**{key: "2026-01-01T00:00:00"})


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_amounts_that_are_no_number_are_refused(written):
    body = json.dumps(a_document(**members())).replace("[0.0, 1.0]", f"[{written}]").encode()
    with pytest.raises(InputError, match="number"):
        parse_file(body, now=NOW)


def test_a_flood_run_may_ask_for_negative_rain_as_it_stands():
    body = json.dumps(a_document(**members(rain_mm=[0.0, -0.2, None]))).encode()
    assert parse_file(body, now=NOW, keep_negative=True).members[0].rain_mm == (0.0, -0.2, None)


# --------------------------------------------------------------------------------------------------- a folder


def put(folder, name, issued_at, **changes):
    (folder / name).write_text(json.dumps(a_document(issued_at=issued_at, **changes)))


def test_the_newest_known_by_now_is_taken(tmp_path):
    put(tmp_path, "z_old.json", "2026-01-01T00:00:00Z", source="old")
    put(tmp_path, "a_newest.json", "2026-01-01T12:00:00Z", source="newest")
    put(tmp_path, "future.json", "2026-01-01T12:00:01Z", source="future")
    assert WeatherFiles(tmp_path).fetch(now=NOW).source == "newest"
    assert WeatherFiles(tmp_path).fetch(now=NOW - timedelta(hours=1)).source == "old"


def test_a_broken_file_is_passed_over_and_logged_once(tmp_path, caplog):
    put(tmp_path, "good.json", "2026-01-01T00:00:00Z", source="good")
    (tmp_path / "half.json").write_text('{"source": "half')
    source = WeatherFiles(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert [source.fetch(now=NOW).source for _ in range(3)] == ["good"] * 3
    assert [record.getMessage().split(" is ")[0] for record in caplog.records] == ["weather file half.json"]


def test_when_no_file_is_left_the_error_says_why(tmp_path):
    (tmp_path / "half.json").write_text('{"source": "half')
    put(tmp_path, "unsaid.json", None)
    put(tmp_path, "later.json", "2027-01-01T00:00:00Z")
    with pytest.raises(UnavailableError) as raised:
        WeatherFiles(tmp_path).fetch(now=NOW)
    for part in (
        "half.json: the weather payload is no JSON",
        "unsaid.json: issued_at is null",
        "later.json: issued aft",
    ):
        assert part in str(raised.value)


def test_an_empty_or_absent_folder_says_so(tmp_path):
    with pytest.raises(UnavailableError, match=r"no \*\.json file"):
        WeatherFiles(tmp_path).fetch(now=NOW)
    with pytest.raises(UnavailableError):
        WeatherFiles(tmp_path / "absent").fetch(now=NOW)


def test_a_rewritten_file_is_read_again(tmp_path):
    put(tmp_path, "f.json", "2026-01-01T00:00:00Z", source="first")
    source = WeatherFiles(tmp_path)
    assert source.fetch(now=NOW).source == "first"
    put(tmp_path, "f.json", "2026-01-01T00:00:00Z", source="the second")
    assert source.fetch(now=NOW).source == "the second"


def test_a_file_keeps_the_moment_it_became_available(tmp_path):
    put(tmp_path, "f.json", "2026-01-01T00:00:00Z")
    source = WeatherFiles(tmp_path)
    assert source.fetch(now=NOW).available_at == NOW
    assert source.fetch(now=NOW + timedelta(hours=1)).available_at == NOW


def test_nothing_is_available_before_it_was_issued(tmp_path):
    put(tmp_path, "f.json", "2026-01-01T06:00:00Z")
    source = WeatherFiles(tmp_path)
    with pytest.raises(UnavailableError):
        source.fetch(now=datetime(2026, 1, 1, 5, tzinfo=UTC))
    assert source.fetch(now=NOW).available_at == datetime(2026, 1, 1, 6, tzinfo=UTC)
