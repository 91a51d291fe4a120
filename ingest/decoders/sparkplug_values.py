"""Sparkplug B's datatypes: which value a metric of a datatype may carry, and what number it stands for.

Signed integers travel in unsigned fields. Encoders differ in how wide they make a negative number (8-bit -1 comes as
255, as 2^32 - 1 or as 2^64 - 1), so all three are read; a number that is none of them is refused, not guessed.
"""

from __future__ import annotations

from enum import IntEnum

from ingest.decoders.base import Refusal, UndecodableError
from ingest.decoders.sparkplug_payload import Metric, ValueField
from ingest.decoders.strict_json import as_finite


class DataType(IntEnum):
    """The datatypes by their numbers in the specification (6.4.16)."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13
    TEXT = 14
    UUID = 15
    DATA_SET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19


_SIGNED_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED_BITS = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64}
_FIELD_BITS = {ValueField.INT: 32, ValueField.LONG: 64}
_REAL = frozenset({ValueField.FLOAT, ValueField.DOUBLE})


def is_number(datatype: int) -> bool:
    """Whether a metric of the datatype can be a reading."""
    return DataType.INT8 <= datatype <= DataType.BOOLEAN


def datatype_name(datatype: int) -> str:
    """Return the datatype in words."""
    return DataType(datatype).name.lower() if datatype in list(DataType) else f"number {datatype}"


def number_of(metric: Metric, datatype: int) -> float:
    """Return the number that a metric of this datatype carries; true is 1.

    Raises:
        UndecodableError: If it carries none, one that does not fit its datatype, or (`not_finite`) NaN.
    """
    if metric.is_null:
        raise UndecodableError("the sender has no value (is_null)", Refusal.EMPTY)
    if not is_number(datatype):
        raise UndecodableError(f"a metric of the datatype {datatype_name(datatype)} is no measurement")
    if metric.field is None:
        raise UndecodableError("the metric carries no value")
    value = metric.value
    if datatype == DataType.BOOLEAN and isinstance(value, bool):
        return float(value)
    if datatype in (DataType.FLOAT, DataType.DOUBLE) and metric.field in _REAL:
        return as_finite(value)
    if datatype <= DataType.UINT64 and metric.field in _FIELD_BITS and isinstance(value, int):
        return float(_whole(value, _FIELD_BITS[metric.field], DataType(datatype)))
    carried = metric.field.name.lower()
    raise UndecodableError(f"the birth says {datatype_name(datatype)}, but the metric carries a {carried} value")


def _whole(value: int, field_bits: int, datatype: DataType) -> int:
    if datatype in _UNSIGNED_BITS:
        if value < 1 << _UNSIGNED_BITS[datatype]:
            return value
    else:
        bits = _SIGNED_BITS[datatype]
        half = 1 << bits - 1
        if value < 2 * half:
            return value if value < half else value - 2 * half
        for wide in (32, field_bits):
            if -half <= value - (1 << wide) < 0:
                return value - (1 << wide)
    raise UndecodableError(f"{value} does not fit the datatype {datatype_name(datatype)}")
