from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from models.drainage.rain_csv import read_rain_csv
from twin.errors import InputError, NaiveDatetimeError

HEAD = "gage_id,observed_at,rain_mm,interval_s\n"


def csv_of(*rows: str) -> bytes:
    return (HEAD + "\n".join(rows) + "\n").encode()


def test_rain_fell_in_the_interval_that_ends_at_the_row() -> None:
    series, gaps = read_rain_csv(
        csv_of("G1,2026-01-01T02:00:00+01:00,3.5,3600", "G2,2026-01-01T00:05:00Z,1,300", "G1,2026-01-01T02:00Z,0,3600")
    )

    assert [(s.gage_id, s.valid_from, s.interval_s, s.rain_mm) for s in series] == [
        ("G1", datetime(2026, 1, 1, tzinfo=UTC), 3600, (3.5, 0.0)),
        ("G2", datetime(2026, 1, 1, tzinfo=UTC), 300, (1.0,)),
    ]
    assert gaps == []


def test_absent_intervals_are_dry_and_listed() -> None:
    series, gaps = read_rain_csv(csv_of("G1,2026-01-01T04:00Z,2,3600", "G1,2026-01-01T01:00Z,1,3600"))

    assert series[0].rain_mm == (1.0, 0.0, 0.0, 2.0)
    assert [gap.observed_at - datetime(2026, 1, 1, tzinfo=UTC) for gap in gaps] == [timedelta(hours=h) for h in (2, 3)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param(["G1,2026-01-01T01:00Z,x,3600"], "line 2 .*could not convert", id="no number"),
        pytest.param(["G1,2026-01-01T01:00Z,-1,3600"], "line 2 .*no amount of rain", id="negative"),
        pytest.param(["G1,2026-01-01T01:00Z,NaN,3600"], "line 2 .*no amount of rain", id="nan"),
        pytest.param(["G1,2026-01-01T01:00Z,1e999,3600"], "line 2 .*no amount of rain", id="infinite"),
        pytest.param(["G1,2026-01-01T01:00Z,,3600"], "line 2 .*rain_mm is empty", id="empty rain"),
        pytest.param(["G1,yesterday,1,3600"], "line 2 .*no ISO 8601|line 2 .*not an ISO 8601", id="no time"),
        pytest.param(["G1,2026-01-01T01:00Z,1,0"], "line 2 .*interval_s '0'", id="no interval"),
        pytest.param(["G1,2026-01-01T01:00Z,1,1.5"], "line 2 .*interval_s '1.5'", id="half seconds"),
        pytest.param(["G1,2026-01-01T01:00Z,1,3600", "G1,2026-01-01T02:00Z,1,300"], "line 3 .*one per gage", id="two"),
        pytest.param(
            ["G1,2026-01-01T01:00Z,1,3600", "G1,2026-01-01T01:30Z,1,3600"], "line 3 .*off the grid", id="grid"
        ),
        pytest.param(
            ["G1,2026-01-01T01:00Z,1,3600", "G1,2026-01-01T01:00Z,1,3600"], "line 3 .*already on line 2", id="twice"
        ),
        pytest.param(["G1,2026-01-01T01:00:00.5Z,1,3600"], "line 2 .*whole second", id="fraction"),
        pytest.param([], "no rows", id="no rows"),
    ],
)
def test_bad_rows_are_refused_with_their_line(rows: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_rain_csv(csv_of(*rows))


def test_a_time_without_zone_is_refused_as_such() -> None:
    with pytest.raises(NaiveDatetimeError, match="line 2"):
        read_rain_csv(csv_of("G1,2026-01-01T01:00:00,1,3600"))


def test_missing_columns_are_named() -> None:
    with pytest.raises(InputError, match="no column interval_s"):
        read_rain_csv(b"gage_id,observed_at,rain_mm\n")
