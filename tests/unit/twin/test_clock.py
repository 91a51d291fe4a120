import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.clock import ReplayClock, as_utc, format_time, parse_time
from twin.errors import InputError, NaiveDatetimeError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-01-01T12:00:00Z", NOON, id="zulu"),
        pytest.param("2026-01-01T13:00:00+01:00", NOON, id="offset"),
        pytest.param(
            "2026-10-25T01:30:00+01:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), id="summer side of the change"
        ),
        pytest.param(
            "2026-10-25T01:30:00+00:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), id="winter side of the change"
        ),
    ],
)
def test_reads_times_with_a_zone(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(NaiveDatetimeError, match="no zone"):
        parse_time("2026-01-01T12:00:00")


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_what_is_no_time_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        parse_time(text)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        assert parse_time(text).tzinfo is UTC


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_written_times_read_back_the_same(moment: datetime) -> None:
    assert format_time(moment).endswith("Z")
    assert parse_time(format_time(moment)) == moment


def test_other_zones_become_utc() -> None:
    assert as_utc(NOON.astimezone(timezone(timedelta(hours=-3)))).utcoffset() == timedelta(0)


def test_a_replay_clock_stands_still_and_never_goes_back() -> None:
    clock = ReplayClock(NOON)
    assert clock.now() == clock.now() == NOON
    clock.advance_to(NOON + timedelta(hours=1))
    with pytest.raises(InputError, match="cannot go back"):
        clock.advance_to(NOON)
    assert clock.now() == NOON + timedelta(hours=1)
