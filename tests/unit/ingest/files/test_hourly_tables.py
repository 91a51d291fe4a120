import math
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.hourly import read_hourly
from twin.errors import InputError, NaiveDatetimeError, TwinError


def table(folder: Path, text: str) -> Path:
    path = folder / "inflows.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_in_any_order_with_hours_missing(tmp_path: Path) -> None:
    series = read_hourly(
        table(tmp_path, "time,DMA A,DMA B\n2022-07-25T03:00:00+02:00,3,\n\n2022-07-25T00:00:00Z,1.5,-2e1\n")
    )
    assert series.first == datetime(2022, 7, 25, 0, tzinfo=UTC)
    np.testing.assert_array_equal(series.columns["DMA A"], [1.5, 3])
    np.testing.assert_array_equal(series.columns["DMA B"], [-20, math.nan])
    np.testing.assert_array_equal(series.offset_h, [0, 2])


def test_the_end_of_summer_time_has_its_hour_twice(tmp_path: Path) -> None:
    series = read_hourly(table(tmp_path, "time,a\n2022-10-30T02:00:00+02:00,1\n2022-10-30T02:00:00+01:00,2\n"))
    np.testing.assert_array_equal(series.columns["a"], [1, 2])
    np.testing.assert_array_equal(series.offset_h, [2, 1])


def test_truth_and_unknown_in_their_usual_spellings(tmp_path: Path) -> None:
    cells = ["True", "false", "1", "NaN", "null", ""]
    rows = "".join(f"2022-07-25T0{h}:00:00Z,{cell}\n" for h, cell in enumerate(cells))
    series = read_hourly(table(tmp_path, "time,Holiday\n" + rows))
    np.testing.assert_array_equal(series.columns["Holiday"], [1, 0, 1, math.nan, math.nan, math.nan])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("time,a\n", "has no rows"),
        ("time\n2022-07-25T00:00:00Z\n", "no column beside the time"),
        ("time,a,a\n2022-07-25T00:00:00Z,1,2\n", "two columns 'a'"),
        ("time,a,\n2022-07-25T00:00:00Z,1,2\n", "column 3 has no name"),
        ("time,a\n2022-07-25T00:00:00Z,1,2\n", "line 2: has 3 cells, the header 2"),
        ("time,a\n2022-07-25T00:00:00Z,x\n", "line 2, column a: 'x' is not a number"),
        ("time,a\n2022-07-25T00:00:00Z,1e999\n", "line 2, column a: '1e999' is too large"),
        ("time,a\nyesterday,1\n", "line 2: 'yesterday' is not an ISO 8601 time"),
        ("time,a\n2022-07-25T00:15:00Z,1\n", "line 2: 2022-07-25T00:15:00Z is not the beginning of an hour"),
        ("time,a\n2022-07-25T01:00:00Z,1\n2022-07-25T03:00:00+02:00,1\n", "line 3: .* is already in .*line 2"),
        ("time,a\n1900-01-01T00:00:00Z,1\n2022-07-25T00:00:00Z,1\n", "over 60 years"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_hourly(table(tmp_path, text))


def test_a_time_without_zone_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(NaiveDatetimeError, match=r"inflows\.csv, line 2: .*no zone"):
        read_hourly(table(tmp_path, "time,a\n2022-07-25T00:00:00,1\n"))


def test_only_the_columns_that_are_asked_for_must_be_numbers(tmp_path: Path) -> None:
    path = table(tmp_path, "time,CEST,remark\n2022-07-25T00:00:00+02:00,1,W1 begins\n")
    assert list(read_hourly(path, only={"CEST", "Holiday"}).columns) == ["CEST"]


@pytest.mark.parametrize("as_index", [True, False])
def test_parquet_says_the_same_as_csv(tmp_path: Path, as_index: bool) -> None:
    times = pd.date_range("2022-10-29 22:00", periods=30, freq="h", tz="UTC").tz_convert("Europe/Rome")
    frame = pd.DataFrame({"a": np.arange(30.0), "b": [True, False, *[None] * 28]}, index=times)
    if not as_index:
        frame = frame.rename_axis("time").reset_index()
    frame.to_parquet(tmp_path / "inflows.parquet")
    frame.to_csv(tmp_path / "inflows.csv", index=as_index)
    ours, theirs = read_hourly(tmp_path / "inflows.parquet"), read_hourly(tmp_path / "inflows.csv")
    assert ours.first == theirs.first == datetime(2022, 10, 29, 22, tzinfo=UTC)
    for name in ("a", "b"):
        np.testing.assert_array_equal(ours.columns[name], theirs.columns[name])
    np.testing.assert_array_equal(ours.offset_h, theirs.offset_h)
    assert set(ours.offset_h) == {1.0, 2.0}


def test_parquet_without_zone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inflows.parquet"
    pd.DataFrame({"a": [1.0]}, index=pd.DatetimeIndex(["2022-07-25"])).to_parquet(path)
    with pytest.raises(NaiveDatetimeError, match=r"inflows\.parquet, row 1"):
        read_hourly(path)


def test_what_is_no_parquet_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "inflows.parquet"
    path.write_bytes(b"time,a\n")
    with pytest.raises(InputError, match=r"inflows\.parquet: is not a Parquet table"):
        read_hourly(path)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_read_or_are_refused_by_name(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"time,a\n" + content)
    with suppress(TwinError):  # named; anything else is a fault of ours
        read_hourly(path)
