from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.files.sensors import COLUMNS, read_sensors
from twin.errors import InputError
from twin.readings import ElementType, Kind, Sensor
from twin.units import Quantity

DATA = Path(__file__).parents[3] / "data" / "files"
HEADER = ",".join(COLUMNS)
GOOD = "p-1,pressure,instant,m,node,10,north,300,0,80"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "sensors.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_example_reads_in_si() -> None:
    """Limits by hand: 1 bar = 1e5 Pa / (1000 kg/m3 * 9.80665 m/s2) = 10.19716 m; 14 degF = -10, 122 degF = 50 degC."""
    pressure, flow, rain, meter, temperature, level = read_sensors(DATA / "sensors.csv")
    assert pressure.low == pytest.approx(5.09858, abs=1e-5)
    assert pressure.high == pytest.approx(81.5773, abs=1e-4)
    assert (pressure.sensor_id, pressure.quantity, pressure.kind) == ("p-10", Quantity.PRESSURE, Kind.INSTANT)
    assert (pressure.unit, pressure.element_type, pressure.element_id) == ("bar", ElementType.NODE, "10")
    assert (pressure.district, pressure.expected_every_s) == ("north", 300.0)
    assert (flow.low, flow.high) == (0.0, pytest.approx(0.12))
    assert (rain.kind, rain.element_type, rain.element_id) == (Kind.TOTAL, ElementType.GAGE, "G1")
    assert (meter.kind, meter.low, meter.high) == (Kind.TOTAL_INCREASING, None, None)
    assert (temperature.low, temperature.high) == (pytest.approx(-10), pytest.approx(50))
    assert (temperature.element_type, temperature.expected_every_s) == (ElementType.NONE, 300.0)
    assert (level.sensor_id, level.unit, level.high, level.district) == ("gauge, old", "", 6.5, "south, lower")


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{GOOD}\n",
        f"{HEADER}\n{GOOD}",
        f"\ufeff{HEADER}\n{GOOD}\n",
        f"\ufeff{HEADER}\r\n{GOOD}\r\n",
        f"\n\n{HEADER}\n\n{GOOD}\n,,,,\n\n",
        f"{HEADER},,\n{GOOD},,\n",
        f"{HEADER.replace(',', ' , ')}\n{GOOD.replace(',', ' , ')}\n",
        f'{HEADER}\n"p-1","pressure","instant","m","node","10","north","300","0","80"\n',
    ],
    ids=["plain", "no last line end", "bom", "bom and crlf", "blank lines", "spare commas", "blanks", "quotes"],
)
def test_ways_of_writing_the_same(tmp_path: Path, text: str) -> None:
    expected = Sensor("p-1", Quantity.PRESSURE, Kind.INSTANT, "m", ElementType.NODE, "10", "north", 300.0, 0.0, 80.0)
    assert read_sensors(written(tmp_path, text)) == [expected]


def test_columns_in_another_order(tmp_path: Path) -> None:
    columns = HEADER.split(",")[::-1]
    assert read_sensors(written(tmp_path, ",".join(columns) + "\n" + ",".join(GOOD.split(",")[::-1])))[0].high == 80.0


def test_a_header_alone_is_no_sensors(tmp_path: Path) -> None:
    assert read_sensors(written(tmp_path, HEADER)) == []


BAD_ROWS = {
    "unknown unit": ("p-1,pressure,instant,furlong,node,10,,300,0,80", "unit", "unknown unit 'furlong'"),
    "unit of another quantity": ("p-1,pressure,instant,L/s,node,10,,300,0,80", "unit", "measures flow"),
    "unit of another quantity, no limits": ("p-1,pressure,instant,L/s,node,10,,300,,", "unit", "measures flow"),
    "unknown quantity": ("p-1,Pressure,instant,m,node,10,,300,0,80", "quantity", "'Pressure' is not one of pressure"),
    "no quantity": ("p-1,,instant,m,node,10,,300,0,80", "quantity", "'' is not one of"),
    "unknown kind": ("p-1,pressure,sometimes,m,node,10,,300,0,80", "kind", "'sometimes' is not one of instant"),
    "unknown element": ("p-1,pressure,instant,m,pipe,10,,300,0,80", "element_type", "'pipe' is not one of node"),
    "element without id": ("p-1,pressure,instant,m,node,,,300,0,80", "element_id", "is empty"),
    "no id": (",pressure,instant,m,node,10,,300,0,80", "sensor_id", "is empty"),
    "word for a number": ("p-1,pressure,instant,m,node,10,,300,low,80", "low", "'low' is not a number"),
    "comma for a point": ('p-1,pressure,instant,m,node,10,,300,"0,5",80', "low", "decimals after a point"),
    "nan": ("p-1,pressure,instant,m,node,10,,300,nan,80", "low", "'nan' is not a number"),
    "infinite": ("p-1,pressure,instant,m,node,10,,300,0,inf", "high", "'inf' is not a number"),
    "too large": ("p-1,pressure,instant,m,node,10,,300,0,1e999", "high", "too large"),
    "too large in si": ("p-1,pressure,instant,bar,node,10,,300,0,1.7e308", "high", "not a finite"),
    "underscores": ("p-1,pressure,instant,m,node,10,,300,0,8_0", "high", "not a number"),
    "arabic digits": ("p-1,pressure,instant,m,node,10,,300,0,٨٠", "high", "not a number"),
    "low above high": ("p-1,pressure,instant,m,node,10,,300,81,80", "low", "81 lies above high, 80"),
    "never expected": ("p-1,pressure,instant,m,node,10,,0,0,80", "expected_every_s", "not a time above 0"),
    "expected before": ("p-1,pressure,instant,m,node,10,,-5,0,80", "expected_every_s", "not a time above 0"),
    "line break in an id": ('"p\n1",pressure,instant,m,node,10,,300,0,80', "sensor_id", "line breaks"),
    "cut off": ("p-1,pressure,instant,m,node,10,,300,0", "high", "the row ends before it"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_and_nothing_imported(tmp_path: Path, name: str) -> None:
    row, column, reason = BAD_ROWS[name]
    with pytest.raises(InputError) as caught:
        read_sensors(written(tmp_path, f"{HEADER}\n\nok-1,{GOOD.split(',', 1)[1]}\n{row}\n"))
    assert str(caught.value).startswith(f"sensors.csv, line 4, column {column}: ")
    assert reason in str(caught.value)


BAD_FILES = {
    "empty": (b"", "is empty"),
    "only blank lines": (b"\n \n", "is empty"),
    "columns missing": (HEADER.replace(",low,high", "").encode(), "lacks low, high"),
    "column unknown": (f"{HEADER},colour".encode(), "has unknown 'colour'"),
    "column misspelt": (HEADER.replace("low", "Low").encode(), "lacks low and has unknown 'Low'"),
    "column twice": (f"{HEADER},low".encode(), "repeats low"),
    "semicolons": (HEADER.replace(",", ";").encode(), "lacks sensor_id"),
    "too many cells": (f"{HEADER}\n{GOOD},extra".encode(), "line 2: 11 cells where the header has 10"),
    "same id twice": (f"{HEADER}\n{GOOD}\nx{GOOD}\n{GOOD}".encode(), "line 4, column sensor_id: 'p-1' is already in"),
    "latin-1": (f"{HEADER}\n{GOOD}\nSão{GOOD}".encode("latin-1"), "line 3: is not UTF-8"),
    "utf-16": (f"{HEADER}\n{GOOD}".encode("utf-16"), "line 1: is not UTF-8"),
    "quote left open": (f'{HEADER}\n"{GOOD}\n'.encode(), "line 2: unexpected end of data"),
    "text after a quote": (f'{HEADER}\n"p"1{GOOD}\n'.encode(), "line 2: "),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused(tmp_path: Path, name: str) -> None:
    content, reason = BAD_FILES[name]
    with pytest.raises(InputError, match=r"^sensors\.csv") as caught:
        read_sensors(written(tmp_path, content))
    assert reason in str(caught.value)


def test_lines_are_counted_over_quoted_line_breaks(tmp_path: Path) -> None:
    text = f'{HEADER}\n"two\nlines",pressure\n'
    with pytest.raises(InputError, match=r"line 2, column kind"):
        read_sensors(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read sensors\.csv: No such file"):
        read_sensors(tmp_path / "sensors.csv")
    with pytest.raises(InputError, match="cannot read"):
        read_sensors(tmp_path)


_cells = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["p-1", "pressure", "instant", "m", "node", "10", "1e308", "-1", '"', ",", "\n", "\x00", "nan", "bar"]
    ),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(_cells, max_size=12), max_size=4), tail=st.binary(max_size=30))
def test_no_file_does_worse_than_an_input_error(tmp_path: Path, rows: list[list[str]], tail: bytes) -> None:
    text = "\n".join([HEADER, *(",".join(row) for row in rows)]).encode(errors="surrogatepass")
    sensors = []
    with suppress(InputError):
        sensors = read_sensors(written(tmp_path, text + tail))
    assert len({sensor.sensor_id for sensor in sensors}) == len(sensors)
    assert all(sensor.low is None or sensor.high is None or sensor.low <= sensor.high for sensor in sensors)
