from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.decoders.base import RawReading
from ingest.files.quick_rows import QuickRows
from ingest.files.readings import LONGEST_LINE, BadRow, read_readings
from twin.errors import ConfigError, InputError, NaiveDatetimeError
from twin.readings import Reading, Sensor
from twin.units import Quantity

NOW = datetime(2026, 5, 1, tzinfo=UTC)
FIVE = datetime(2026, 4, 1, 5, tzinfo=UTC)
SENSORS = {"p-1": Sensor("p-1", Quantity.PRESSURE, unit="bar"), "q-1": Sensor("q-1", Quantity.FLOW)}
HEADER = "sensor_id,observed_at,value,unit,available_at,seq"
GOOD = "p-1,2026-04-01T05:00:00Z,25,m,2026-04-01T05:00:07Z,12"
READING = Reading("p-1", FIVE, FIVE.replace(second=7), 25.0, "m", 25.0, "m", seq=12)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "readings.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path) -> list[Reading | BadRow]:
    return list(read_readings(path, SENSORS, now=NOW))


def test_a_full_row(tmp_path: Path) -> None:
    assert read(written(tmp_path, f"{HEADER}\n{GOOD}\n")) == [READING]


def test_a_short_row_takes_its_unit_from_the_sensor_and_became_known_now(tmp_path: Path) -> None:
    """3 bar = 3e5 Pa / 9806.65 N/m3 = 30.5915 m."""
    (reading,) = read(written(tmp_path, "\ufeffsensor_id,observed_at,value\r\np-1,2026-04-01T06:00:00+01:00,3\r\n"))
    assert isinstance(reading, Reading)
    assert reading.value == pytest.approx(30.5915, abs=1e-4)
    assert replace(reading, value=0.0) == Reading("p-1", FIVE, NOW, 0.0, "m", 3.0, "bar")


def test_empty_cells_of_optional_columns(tmp_path: Path) -> None:
    (reading,) = read(written(tmp_path, f"{HEADER}\nq-1,2026-04-01T05:00:00Z,-1e-3,,,\n"))
    assert reading == Reading("q-1", FIVE, NOW, -0.001, "m3/s", -0.001, "m3/s")


BAD_ROWS = {
    "unknown sensor": ("x-9,2026-04-01T05:00:00Z,1,m,,", "unknown_sensor", "'x-9' is not registered"),
    "no sensor": (",2026-04-01T05:00:00Z,1,m,,", "undecodable", "sensor_id is empty"),
    "no time": ("p-1,,1,m,,", "undecodable", "observed_at is empty"),
    "no value": ("p-1,2026-04-01T05:00:00Z,,m,,", "undecodable", "value is empty"),
    "nan": ("p-1,2026-04-01T05:00:00Z,nan,m,,", "not_finite", "'nan' is not a number"),
    "infinite": ("p-1,2026-04-01T05:00:00Z,1e999,m,,", "not_finite", "too large"),
    "word": ("p-1,2026-04-01T05:00:00Z,high,m,,", "undecodable", "'high' is not a number"),
    "unknown unit": ("p-1,2026-04-01T05:00:00Z,1,furlong,,", "unknown_unit", "furlong"),
    "wrong dimension": ("p-1,2026-04-01T05:00:00Z,1,L/s,,", "wrong_dimension", "measures flow"),
    "no zone": ("p-1,2026-04-01T05:00:00,1,m,,", "naive_time", "observed_at"),
    "no such day": ("p-1,2026-02-30T05:00:00Z,1,m,,", "undecodable", "observed_at"),
    "before time": ("p-1,0001-01-01T00:00:00+10:00,1,m,,", "undecodable", "observed_at"),
    "after time": ("p-1,9999-01-01T00:00:00Z,1,m,,", "implausible_time", "observed_at"),
    "known in the middle ages": (
        "p-1,2026-04-01T05:00:00Z,1,m,1111-11-11T11:11:11Z,",
        "implausible_time",
        "available_at",
    ),
    "availability without zone": ("p-1,2026-04-01T05:00:00Z,1,m,2026-04-01,", "naive_time", "available_at"),
    "seq with a point": ("p-1,2026-04-01T05:00:00Z,1,m,,1.0", "undecodable", "seq"),
    "seq below zero": ("p-1,2026-04-01T05:00:00Z,1,m,,-1", "undecodable", "seq"),
    "seq too long": ("p-1,2026-04-01T05:00:00Z,1,m,,9223372036854775808", "undecodable", "seq"),
    "too few cells": ("p-1,2026-04-01T05:00:00Z", "undecodable", "2 cells where the header has 6"),
    "too many cells": (f"{GOOD},more", "undecodable", "7 cells where the header has 6"),
    "stray quote": ('"p-1,2026-04-01T05:00:00Z,1,m,,', "undecodable", "not a line of CSV"),
    "text after a quote": ('"p"1,2026-04-01T05:00:00Z,1,m,,', "undecodable", "not a line of CSV"),
    "null byte": ("p-1\x00,2026-04-01T05:00:00Z,1,m,,", "unknown_sensor", ""),
    "carriage returns inside": ("p-1,2026-04-01T05:00:00Z,1\r\r2,m,,", "", ""),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_handed_back_and_the_others_pass(tmp_path: Path, name: str) -> None:
    row, reason, detail = BAD_ROWS[name]
    first, bad, last = read(written(tmp_path, f"{HEADER}\n\n{GOOD}\n{row}\r\n{GOOD}\n"))
    assert first == last == READING
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.payload) == (4, row.encode())
    assert reason in ("", bad.reason)
    assert detail in bad.detail


def test_bytes_that_are_not_text_are_kept_as_they_are(tmp_path: Path) -> None:
    _, bad, _ = read(written(tmp_path, f"{HEADER}\n{GOOD}\n".encode() + b"p-\xff,1\n" + GOOD.encode()))
    assert bad == BadRow(3, "undecodable", "the line is not UTF-8", b"p-\xff,1")


def test_a_line_without_end_is_one_bad_row(tmp_path: Path) -> None:
    endless = b"9" * (3 * LONGEST_LINE)
    bad, good = read(written(tmp_path, f"{HEADER}\n".encode() + endless + b"\n" + GOOD.encode()))
    assert good == READING
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.reason) == (2, "undecodable")
    assert endless.startswith(bad.payload)
    assert len(bad.payload) >= LONGEST_LINE


BAD_FILES = {
    "empty": (b"", "is empty"),
    "columns missing": (b"sensor_id,value\n", "lacks observed_at"),
    "column unknown": (b"sensor_id,observed_at,value,quality\n", "has unknown 'quality'"),
    "not text": (b"PAR1\xff\xfe\n", "is not UTF-8"),
    "quote left open": (b'"sensor_id,observed_at,value\n', "line 1"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_of_another_kind_is_refused_at_once(tmp_path: Path, name: str) -> None:
    content, reason = BAD_FILES[name]
    with pytest.raises(InputError, match=r"readings\.csv") as caught:
        read_readings(written(tmp_path, content), SENSORS, now=NOW)
    assert reason in str(caught.value)


def test_a_file_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_readings(tmp_path / "readings.csv", SENSORS, now=NOW)
    with pytest.raises(InputError, match="cannot read"):
        read_readings(tmp_path / "readings.parquet", SENSORS, now=NOW)


def test_now_has_a_zone(tmp_path: Path) -> None:
    with pytest.raises(NaiveDatetimeError):
        read_readings(written(tmp_path, HEADER), SENSORS, now=datetime(2026, 1, 1))  # noqa: DTZ001


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(lambda t: t.encode(errors="replace"))))
)
def test_every_line_is_answered_for(tmp_path: Path, lines: list[bytes]) -> None:
    """Whatever stands between two good rows: each line that is not blank is either a reading or a bad row."""
    content = b"\n".join([HEADER.encode(), GOOD.encode(), *lines, GOOD.encode()])
    items = read(written(tmp_path, content))
    rows = [line for line in b"\n".join(lines).split(b"\n") if line.strip(b" \t\r,")]
    assert items[0] == items[-1] == READING
    assert len(items) == len(rows) + 2
    bad = [item for item in items if isinstance(item, BadRow)]
    assert [item.payload for item in bad] == [row.rstrip(b"\r") for row in rows]


_plain_cells = {
    "sensor_id": st.sampled_from(["p-1", "q-1", " p-1 ", "x-9", '"p-1"', "", "p-1\r"]),
    "observed_at": st.one_of(
        st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda moment: f"{moment.isoformat()}Z"),  # noqa: DTZ001
        st.sampled_from(["2026-04-01T05:00:00+05:30", "2026-04-01", "20260401T050000Z", "2026-04-01T05:00:00", ""]),
    ),
    "value": st.one_of(
        st.floats().map(repr),
        st.decimals(allow_nan=False, allow_infinity=False).map(str),
        st.sampled_from(["1_000", "+.5", "5.", "-1E+3", "1e999", "٣", "0x1p3", "1,5", "\u2009 7", "infinity", "-0"]),
    ),
    "unit": st.sampled_from(["", "m", "bar", "L/s", "degC", "furlong", " mca"]),
    "available_at": st.sampled_from(["", "2026-04-01T05:00:07Z", "2026-04-01T05:00:07", "soon"]),
    "seq": st.sampled_from(["", "0", "12", "-1", "1.0", "9223372036854775807", "9223372036854775808", "²", "007"]),
}


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    columns=st.permutations(list(_plain_cells)),
    width=st.integers(0, 3),
    rows=st.lists(st.fixed_dictionaries(_plain_cells), min_size=1, max_size=8),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r\r\n", ",\n"]), min_size=8, max_size=8),
)
def test_the_short_way_reads_alike(
    tmp_path: Path, columns: list[str], width: int, rows: list[dict[str, str]], ends: list[str]
) -> None:
    """Against the long way, which is the definition: every row gets the same reading, or the same reason."""
    optional = ["unit", "available_at", "seq"]
    columns = [name for name in columns if name not in optional[width:]]
    lines = [",".join(row[name] for name in columns) + end for row, end in zip(rows, ends, strict=False)]
    path = written(tmp_path, ",".join(columns) + "\n" + "".join(lines))
    found = read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickRows, "reading", lambda *_: None)
        assert found == read(path)


def test_plain_rows_go_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.files.readings._csv_item", None)
    assert read(written(tmp_path, f"{HEADER}\n{GOOD}\nq-1,2026-04-01T05:00:00Z,1,,,\n"))[0] == READING


@pytest.mark.parametrize("skip", [0, 1, 2, 3, 9])
def test_the_first_rows_can_be_skipped(tmp_path: Path, skip: int) -> None:
    path = written(tmp_path, f"{HEADER}\n{GOOD}\n\nbad\n,,\n{GOOD}\n")
    assert list(read_readings(path, SENSORS, now=NOW, skip=skip)) == read(path)[skip:]


# ------------------------------------------------------------------------------------------------------ parquet


def parquet(folder: Path, **columns: object) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    path = folder / "readings.parquet"
    writer.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_gives_the_same_readings(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        sensor_id=["p-1", "p-1"],
        observed_at=[FIVE, FIVE.replace(hour=6)],
        value=[25.0, None],
        unit=["m", "m"],
        available_at=[FIVE.replace(second=7), None],
        seq=[12, None],
    )
    reading, bad = read(path)
    assert reading == READING
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.reason, bad.detail) == (2, "undecodable", "column value is empty")
    assert json.loads(bad.payload)["observed_at"] == "2026-04-01 06:00:00+00:00"


def test_parquet_as_pandas_writes_it(tmp_path: Path) -> None:
    """Times in nanoseconds, whole numbers with gaps as floats."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "sensor_id": ["p-1", "q-1"],
            "observed_at": pandas.to_datetime(["2026-04-01T05:00:00.000001Z"] * 2).as_unit("ns"),
            "value": [25, 1],
            "unit": ["m", None],
            "seq": [12, None],
        }
    )
    frame.to_parquet(tmp_path / "readings.parquet", index=False)
    first, second = read(tmp_path / "readings.parquet")
    micro = FIVE.replace(microsecond=1)
    assert first == replace(READING, observed_at=micro, available_at=NOW)
    assert second == Reading("q-1", micro, NOW, 1.0, "m3/s", 1.0, "m3/s")


def test_parquet_of_text(tmp_path: Path) -> None:
    times = ["2026-04-01T05:00:00Z", "noon", "2026-04-01T05:00:00"]
    path = parquet(tmp_path, sensor_id=["p-1"] * 3, observed_at=times, value=["3", "1", "1"])
    reading, no_time, naive = read(path)
    assert isinstance(reading, Reading)
    assert reading.raw_value == 3.0
    assert [item.reason for item in (no_time, naive) if isinstance(item, BadRow)] == ["undecodable", "naive_time"]


def test_parquet_times_without_zone_are_bad_rows(tmp_path: Path) -> None:
    (bad,) = read(parquet(tmp_path, sensor_id=["p-1"], observed_at=[datetime(2026, 4, 1)], value=[1.0]))  # noqa: DTZ001
    assert isinstance(bad, BadRow)
    assert bad.reason == "naive_time"


def test_parquet_values_that_are_no_numbers_are_bad_rows(tmp_path: Path) -> None:
    for value in (True, b"1", math.nan, math.inf, FIVE, [1.0]):
        (bad,) = read(parquet(tmp_path, sensor_id=["p-1"], observed_at=[FIVE], value=[value]))
        assert isinstance(bad, BadRow)
        assert bad.reason == ("not_finite" if value in (math.inf, math.nan) else "undecodable")


def test_a_parquet_time_beyond_all_calendars_is_a_bad_row(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    times = pyarrow.array([2**62, int(FIVE.timestamp() * 1e6)], type=pyarrow.timestamp("us", tz="UTC"))
    bad, good = read(parquet(tmp_path, sensor_id=["p-1"] * 2, observed_at=times, value=[1.0, 2.0]))
    assert isinstance(bad, BadRow)
    assert bad.reason == "undecodable"
    assert isinstance(good, Reading)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "readings.parquet"
    path.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(InputError, match=r"readings\.parquet as Parquet"):
        read(path)


@pytest.fixture
def _no_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)


@pytest.mark.usefixtures("_no_pyarrow")
def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        read_readings(tmp_path / "readings.parquet", SENSORS, now=NOW)


def test_what_a_bad_row_says_is_handed_back_unless_it_says_when_it_was_known(tmp_path: Path) -> None:
    rows = f"{HEADER}\nnew,2026-04-01T05:00:00Z,1.5,bar,,7\nnew,2026-04-01T05:00:00Z,1.5,bar,2026-04-01T06:00:00Z,7\n"
    plain, known_since = read(written(tmp_path, rows))
    assert isinstance(plain, BadRow)
    assert plain.raw == RawReading("new", FIVE, 1.5, "bar", 7)
    assert isinstance(known_since, BadRow)
    assert known_since.raw is None  # a message is known from its receipt on: requeued, it would be known too late
