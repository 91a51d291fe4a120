"""Numbers as Sparkplug encoders write them: two's complement in three widths, and what fits no datatype."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.base import Refusal, UndecodableError
from ingest.decoders.sparkplug_payload import Metric, ValueField
from ingest.decoders.sparkplug_values import DataType, number_of

SIGNED = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}


def whole(value: int, *, field: ValueField = ValueField.INT) -> Metric:
    return Metric(field=field, value=value)


@given(st.sampled_from(sorted(SIGNED)), st.data())
def test_a_negative_number_is_read_in_every_width(datatype: DataType, data: st.DataObject) -> None:
    bits = SIGNED[datatype]
    number = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    widths = [width for width in (8, 16, 32, 64) if width >= bits]
    for width in widths:
        form = {8: "b", 16: "h", 32: "i", 64: "q"}[width]
        unsigned = int.from_bytes(struct.pack("<" + form, number), "little")  # C's own idea of two's complement
        if width == bits or width >= 32:
            field = ValueField.INT if width <= 32 else ValueField.LONG
            assert number_of(whole(unsigned, field=field), datatype) == float(number)


@pytest.mark.parametrize(
    ("value", "datatype", "number"),
    [
        (255, DataType.INT8, -1.0),
        (127, DataType.INT8, 127.0),
        (0xFFFFFF80, DataType.INT8, -128.0),
        (0xFFFF, DataType.INT16, -1.0),
        (0x8000, DataType.INT16, -32768.0),
        (0xFFFFFFFF, DataType.INT32, -1.0),
        (0xFFFFFFFF, DataType.UINT32, 4294967295.0),
        (255, DataType.UINT8, 255.0),
    ],
)
def test_the_same_bits_mean_what_the_birth_says(value: int, datatype: DataType, number: float) -> None:
    assert number_of(whole(value), datatype) == number


@pytest.mark.parametrize(
    ("metric", "datatype", "says"),
    [
        (whole(256), DataType.UINT8, "does not fit"),
        (whole(256), DataType.INT8, "does not fit"),
        (whole(0xFFFFFF7F), DataType.INT8, "does not fit"),
        (whole(2**40, field=ValueField.LONG), DataType.UINT32, "does not fit"),
        (whole(7), DataType.FLOAT, "carries a int value"),
        (Metric(field=ValueField.FLOAT, value=1.5), DataType.INT32, "carries a float value"),
        (Metric(field=ValueField.BOOLEAN, value=True), DataType.INT32, "carries a boolean value"),
        (whole(1), DataType.BOOLEAN, "carries a int value"),
        (Metric(), DataType.FLOAT, "no value"),
        (Metric(field=ValueField.STRING, value="3.2"), DataType.STRING, "no measurement"),
        (Metric(field=ValueField.LONG, value=1), DataType.DATE_TIME, "no measurement"),
        (Metric(field=ValueField.DATASET), DataType.DATA_SET, "no measurement"),
        (Metric(field=ValueField.TEMPLATE), DataType.TEMPLATE, "no measurement"),
        (Metric(field=ValueField.BYTES), DataType.BYTES, "no measurement"),
        (whole(1), 0, "no measurement"),
        (whole(1), 99, "number 99"),
    ],
)
def test_what_is_no_number_of_its_datatype_is_refused(metric: Metric, datatype: int, says: str) -> None:
    with pytest.raises(UndecodableError, match=says):
        number_of(metric, datatype)


def test_null_and_nan_have_their_own_reasons() -> None:
    for metric, reason in (
        (Metric(is_null=True, field=ValueField.FLOAT, value=1.0), Refusal.EMPTY),
        (Metric(field=ValueField.DOUBLE, value=float("nan")), Refusal.NOT_FINITE),
        (Metric(field=ValueField.FLOAT, value=float("inf")), Refusal.NOT_FINITE),
    ):
        with pytest.raises(UndecodableError) as refused:
            number_of(metric, DataType.DOUBLE)
        assert refused.value.reason is reason


def test_true_is_one() -> None:
    assert number_of(Metric(field=ValueField.BOOLEAN, value=True), DataType.BOOLEAN) == 1.0
    assert number_of(Metric(field=ValueField.BOOLEAN, value=False), DataType.BOOLEAN) == 0.0
