"""The properties of MQTT 5 packets: numbers, texts and bytes by identifier (MQTT 5.0 section 2.2.2)."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.wire.errors import MalformedPacketError, ProtocolViolationError

SESSION_EXPIRY_INTERVAL = 0x11
SERVER_KEEP_ALIVE = 0x13
REASON_STRING = 0x1F
RECEIVE_MAXIMUM = 0x21
TOPIC_ALIAS_MAXIMUM = 0x22
TOPIC_ALIAS = 0x23
MAXIMUM_QOS = 0x24
MAXIMUM_PACKET_SIZE = 0x27
SHARED_SUBSCRIPTION_AVAILABLE = 0x2A

_BYTE, _TWO, _FOUR, _VARIABLE, _BYTES, _PAIR = range(6)
_KINDS = {
    0x01: _BYTE, 0x02: _FOUR, 0x03: _BYTES, 0x08: _BYTES, 0x09: _BYTES, 0x0B: _VARIABLE,
    0x11: _FOUR, 0x12: _BYTES, 0x13: _TWO, 0x15: _BYTES, 0x16: _BYTES, 0x17: _BYTE, 0x18: _FOUR, 0x19: _BYTE,
    0x1A: _BYTES, 0x1C: _BYTES, 0x1F: _BYTES, 0x21: _TWO, 0x22: _TWO, 0x23: _TWO, 0x24: _BYTE, 0x25: _BYTE,
    0x26: _PAIR, 0x27: _FOUR, 0x28: _BYTE, 0x29: _BYTE, 0x2A: _BYTE,
}  # fmt: skip
_SIZES = {_BYTE: 1, _TWO: 2, _FOUR: 4}
_REPEATABLE = frozenset({0x26, 0x0B})
_LONGEST_VARIABLE = 4

Properties = Mapping[int, int | bytes]
NONE: Properties = {}


def variable(number: int) -> bytes:
    """Write a variable byte integer."""
    written = bytearray()
    while True:
        number, low = divmod(number, 0x80)
        written.append(low | 0x80 if number else low)
        if not number:
            return bytes(written)


def read_variable(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the variable byte integer at `at` and the place behind it.

    Raises:
        MalformedPacketError: If it does not end before `end`, or is longer than it need be.
    """
    number = 0
    for place in range(_LONGEST_VARIABLE):
        if at >= end:
            raise MalformedPacketError("a length runs over the end of its packet")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if place and not byte:
                raise MalformedPacketError("a length is written with more bytes than it needs")
            return number, at
    raise MalformedPacketError("a length has more than four bytes")


def read_properties(data: bytes, at: int, end: int) -> tuple[Properties, int]:
    """Return the properties that begin at `at` and the place behind them; those that may repeat are not kept.

    Raises:
        MalformedPacketError: If they do not fit into the packet, or one of them is unknown.
        ProtocolViolationError: If one comes twice.
    """
    length, at = read_variable(data, at, end)
    stop = at + length
    if stop > end:
        raise MalformedPacketError("the properties run over the end of their packet")
    found: dict[int, int | bytes] = {}
    while at < stop:
        name, at = read_variable(data, at, stop)
        value, at = _value(_KINDS.get(name), data, at, stop)
        if at > stop:
            raise MalformedPacketError("a property runs over the end of the properties")
        if name in _REPEATABLE:
            continue
        if name in found:
            raise ProtocolViolationError(f"property 0x{name:02X} comes twice in one packet")
        found[name] = value
    return found, at


def write_properties(numbers: Mapping[int, int]) -> bytes:
    """Write properties that are numbers."""
    body = b"".join(bytes([name]) + value.to_bytes(_SIZES[_KINDS[name]], "big") for name, value in numbers.items())
    return variable(len(body)) + body


def number_in(properties: Properties, name: int, default: int) -> int:
    """Return a number among the properties."""
    value = properties.get(name, default)
    return value if isinstance(value, int) else default


def text_in(properties: Properties, name: int) -> str:
    """Return a text among the properties, empty where there is none; for people to read."""
    value = properties.get(name, b"")
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:200])


def _value(kind: int | None, data: bytes, at: int, stop: int) -> tuple[int | bytes, int]:
    if kind is None:
        raise MalformedPacketError("a property that MQTT does not know")
    if kind in _SIZES:
        behind = at + _SIZES[kind]
        return int.from_bytes(data[at:behind], "big"), behind
    if kind == _VARIABLE:
        return read_variable(data, at, stop)
    value, at = _counted_bytes(data, at)
    if kind == _PAIR:
        value, at = _counted_bytes(data, at)
    return value, at


def _counted_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    behind = at + 2 + int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : behind], behind
