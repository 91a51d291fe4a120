"""Sparkplug B's payload: just as much of protobuf as the one message needs, read strictly and without a dependency.

Read are a payload's time, number and metrics, and of a metric's properties the two that say something about its value:
`engUnit` and `Quality`. Everything else is stepped over. Where a field comes twice the last one counts, as in protobuf.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from ingest.decoders.base import UndecodableError

MOST_METRICS = 20_000
"""A payload with more metrics is refused: no edge node has so many, and they would fill our memory."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_UINT32, _UINT64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF

Value = int | float | bool | str | None


class ValueField(IntEnum):
    """In which of its fields a metric carries its value (their protobuf numbers)."""

    INT = 10
    LONG = 11
    FLOAT = 12
    DOUBLE = 13
    BOOLEAN = 14
    STRING = 15
    BYTES = 16
    DATASET = 17
    TEMPLATE = 18
    EXTENSION = 19


@dataclass(slots=True)
class Metric:
    """One value, as sent. Times are milliseconds since 1970; `value` is None for what is neither number nor text."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    field: ValueField | None = None
    value: Value = None
    unit: str | None = None
    quality: int | None = None


@dataclass(slots=True)
class Payload:
    """A message of an edge node."""

    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: list[Metric] = field(default_factory=list)
    is_packed: bool = False
    """Whether the metrics may hide in an opaque body (a compressed payload)."""


def read_payload(data: bytes) -> Payload:
    """Return what a payload says.

    Raises:
        UndecodableError: If it is no protobuf of this shape, or holds more than `MOST_METRICS`.
    """
    payload = Payload()
    for number, wire, value in _fields(memoryview(data)):
        if isinstance(value, int):
            if number == 1 and wire == _VARINT:
                payload.timestamp_ms = value
            elif number == 3 and wire == _VARINT:
                payload.seq = value
        elif number == 2 and wire == _BYTES:
            if len(payload.metrics) == MOST_METRICS:
                raise UndecodableError(f"the payload holds more than {MOST_METRICS} metrics")
            payload.metrics.append(_read_metric(value))
        elif number == 5 and wire == _BYTES:
            payload.is_packed = len(value) > 0
    return payload


def rebirth_request(at: datetime) -> bytes:
    """Return the payload of an NCMD that asks an edge node to introduce itself again."""
    at_ms = int(at.timestamp() * 1000)
    name = b"Node Control/Rebirth"
    metric = b"\x0a" + _varint(len(name)) + name + b"\x18" + _varint(at_ms) + b"\x20\x0b\x70\x01"
    return b"\x08" + _varint(at_ms) + b"\x12" + _varint(len(metric)) + metric


def _read_metric(data: memoryview) -> Metric:
    metric = Metric()
    for number, wire, value in _fields(data):
        if number in _VALUES and _VALUES[number][0] == wire:
            metric.field = ValueField(number)
            metric.value = _VALUES[number][1](value)
        elif isinstance(value, int):
            if wire == _VARINT:
                _note_number(metric, number, value)
        elif number == 1 and wire == _BYTES:
            metric.name = _text(value)
        elif number == 9 and wire == _BYTES:
            metric.unit, metric.quality = _unit_and_quality(value)
    return metric


def _note_number(metric: Metric, number: int, value: int) -> None:
    if number == 2:
        metric.alias = value
    elif number == 3:
        metric.timestamp_ms = value
    elif number == 4:
        metric.datatype = value & _UINT32
    elif number == 5:
        metric.is_historical = value != 0
    elif number == 7:
        metric.is_null = value != 0


def _unit_and_quality(data: memoryview) -> tuple[str | None, int | None]:
    """Read a property set: as many keys as values, each value in its key's place."""
    keys: list[str] = []
    values: list[Value] = []
    for number, wire, value in _fields(data):
        if wire == _BYTES and number == 1:
            keys.append(_text(value))
        elif wire == _BYTES and number == 2 and not isinstance(value, int):
            values.append(_property_value(value))
    if len(keys) != len(values):
        raise UndecodableError(f"a property set has {len(keys)} keys and {len(values)} values")
    found = dict(zip(keys, values, strict=True))
    unit, quality = found.get("engUnit"), found.get("Quality")
    return (
        unit if isinstance(unit, str) and unit else None,
        quality if isinstance(quality, int) and not isinstance(quality, bool) else None,
    )


def _property_value(data: memoryview) -> Value:
    found: Value = None
    for number, wire, value in _fields(data):
        if number == 8 and wire == _BYTES:
            found = _text(value)
        elif number in (3, 4) and wire == _VARINT and isinstance(value, int):
            found = value & _UINT32 if number == 3 else value
    return found


def _text(value: int | memoryview) -> str:
    try:
        return str(value, "utf-8") if not isinstance(value, int) else ""
    except UnicodeDecodeError as error:
        raise UndecodableError("a text in the payload is not UTF-8") from error


def _unpacked(form: str) -> Callable[[int | memoryview], float]:
    unpack = struct.Struct(form).unpack

    def read(value: int | memoryview) -> float:
        assert not isinstance(value, int)
        number: float = unpack(value)[0]
        return number

    return read


def _whole(mask: int) -> Callable[[int | memoryview], int]:
    return lambda value: value & mask if isinstance(value, int) else 0


_VALUES: dict[int, tuple[int, Callable[[int | memoryview], Value]]] = {
    ValueField.INT: (_VARINT, _whole(_UINT32)),
    ValueField.LONG: (_VARINT, _whole(_UINT64)),
    ValueField.FLOAT: (_FIXED32, _unpacked("<f")),
    ValueField.DOUBLE: (_FIXED64, _unpacked("<d")),
    ValueField.BOOLEAN: (_VARINT, bool),
    ValueField.STRING: (_BYTES, _text),
    ValueField.BYTES: (_BYTES, lambda _: None),
    ValueField.DATASET: (_BYTES, lambda _: None),
    ValueField.TEMPLATE: (_BYTES, lambda _: None),
    ValueField.EXTENSION: (_BYTES, lambda _: None),
}
"""The fields of a metric's value: how each is written, and how it is read."""


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Step through the fields of a message: number, wire type, and the value (of fixed and long ones the bytes)."""
    at, end = 0, len(data)
    while at < end:
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < 2**29:
            raise UndecodableError("not a Sparkplug payload: a field has no proper number")
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, at = _read_varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise UndecodableError(f"not a Sparkplug payload: field {number} has the unknown wire type {wire}")
        if length > end - at:
            raise UndecodableError(f"the payload is cut off: field {number} needs {length} bytes, {end - at} are left")
        yield number, wire, data[at : at + length]
        at += length


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for position, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value & _UINT64, at + position + 1
    raise UndecodableError("the payload is cut off, or not protobuf: a number does not end")


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
