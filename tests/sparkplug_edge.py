"""An edge node as its programmer would write it, with an own protobuf encoder (checked by the reader's tests)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

FLOAT, BOOLEAN, INT16, UINT64 = 9, 11, 2, 8


@dataclass(frozen=True)
class M:
    """A metric; of `value`'s kind is decided by `field` (the oneof's name in sparkplug_b.proto)."""

    value: float | int | bool | str | None = None
    name: str | None = None
    alias: int | None = None
    at_ms: int | None = None
    datatype: int | None = None
    historical: bool = False
    null: bool = False
    field: str = "float_value"
    unit: str | None = None
    quality: int | None = None


def _varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _long(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _value(metric: M) -> bytes:
    value = metric.value
    if value is None:
        return b""
    if metric.field == "string_value":
        return _long(15, str(value).encode())
    if metric.field == "float_value":
        return _varint(12 << 3 | 5) + struct.pack("<f", value)
    if metric.field == "double_value":
        return _varint(13 << 3 | 1) + struct.pack("<d", value)
    return _number({"int_value": 10, "long_value": 11, "boolean_value": 14}[metric.field], int(value))


def _properties(metric: M) -> bytes:
    entries = []
    if metric.unit is not None:
        entries.append(("engUnit", _number(1, 12) + _long(8, metric.unit.encode())))
    if metric.quality is not None:
        entries.append(("Quality", _number(1, 3) + _number(3, metric.quality)))
    keys = b"".join(_long(1, key.encode()) for key, _ in entries)
    return _long(9, keys + b"".join(_long(2, value) for _, value in entries)) if entries else b""


def metric_bytes(metric: M) -> bytes:
    parts = [
        b"" if metric.name is None else _long(1, metric.name.encode()),
        b"" if metric.alias is None else _number(2, metric.alias),
        b"" if metric.at_ms is None else _number(3, metric.at_ms),
        b"" if metric.datatype is None else _number(4, metric.datatype),
        _number(5, 1) if metric.historical else b"",
        _number(7, 1) if metric.null else b"",
        _properties(metric),
        _value(metric),
    ]
    return b"".join(parts)


def payload_bytes(metrics: Sequence[M], *, seq: int | None, at_ms: int | None = None) -> bytes:
    stamp = b"" if at_ms is None else _number(1, at_ms)
    counted = b"" if seq is None else _number(3, seq)
    return stamp + b"".join(_long(2, metric_bytes(metric)) for metric in metrics) + counted


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


class Edge:
    """RTU-1 of the group Porto with one device DMA-1: counts its messages and makes topics and payloads."""

    def __init__(self, *, group: str = "Porto", node: str = "RTU-1", bd_seq: int = 0) -> None:
        self.group, self.node, self.bd_seq, self.seq = group, node, bd_seq, 0

    def topic(self, kind: str, device: str = "") -> str:
        return f"spBv1.0/{self.group}/{kind}/{self.node}" + (f"/{device}" if device else "")

    def next_seq(self) -> int:
        taken, self.seq = self.seq, (self.seq + 1) % 256
        return taken

    def lose_one(self) -> None:
        self.next_seq()

    def nbirth(self, at: datetime, *metrics: M) -> tuple[str, bytes]:
        self.seq = 0
        session = M(self.bd_seq, name="bdSeq", at_ms=ms(at), datatype=UINT64, field="long_value")
        control = M(False, name="Node Control/Rebirth", at_ms=ms(at), datatype=BOOLEAN, field="boolean_value")
        body = payload_bytes([session, control, *metrics], seq=self.next_seq(), at_ms=ms(at))
        return self.topic("NBIRTH"), body

    def dbirth(self, at: datetime, *metrics: M, device: str = "DMA-1") -> tuple[str, bytes]:
        return self.topic("DBIRTH", device), payload_bytes(metrics, seq=self.next_seq(), at_ms=ms(at))

    def ddata(self, at: datetime, *metrics: M, device: str = "DMA-1") -> tuple[str, bytes]:
        return self.topic("DDATA", device), payload_bytes(metrics, seq=self.next_seq(), at_ms=ms(at))

    def ndata(self, at: datetime, *metrics: M) -> tuple[str, bytes]:
        return self.topic("NDATA"), payload_bytes(metrics, seq=self.next_seq(), at_ms=ms(at))

    def ddeath(self, at: datetime, device: str = "DMA-1") -> tuple[str, bytes]:
        return self.topic("DDEATH", device), payload_bytes([], seq=self.next_seq(), at_ms=ms(at))

    def ndeath(self, at: datetime) -> tuple[str, bytes]:
        session = M(self.bd_seq, name="bdSeq", datatype=UINT64, field="long_value")
        return self.topic("NDEATH"), payload_bytes([session], seq=None, at_ms=ms(at))
