"""MQTT packets written by hand from the standard, for scripted brokers and as the truth in tests of the parser."""

from __future__ import annotations


def length(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number % 128 + 128])
        number //= 128
    return out + bytes([number])


def packet(first: int, body: bytes = b"") -> bytes:
    return bytes([first]) + length(len(body)) + body


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return bytes([len(raw) // 256, len(raw) % 256]) + raw


def number(value: int) -> bytes:
    return bytes([value // 256, value % 256])


def connack(code: int = 0, *, mqtt5: bool = True, present: int = 0, props: bytes = b"") -> bytes:
    return packet(0x20, bytes([present, code]) + (length(len(props)) + props if mqtt5 else b""))


def suback(codes: bytes, *, mqtt5: bool = True, packet_id: int = 1) -> bytes:
    return packet(0x90, number(packet_id) + (b"\0" if mqtt5 else b"") + codes)


def publish(
    topic: str | bytes,
    payload: bytes,
    *,
    qos: int = 1,
    packet_id: int = 1,
    dup: bool = False,
    mqtt5: bool = True,
    props: bytes = b"",
) -> bytes:
    first = 0x30 | (8 if dup else 0) | qos << 1
    body = text(topic) + (number(packet_id) if qos else b"")
    return packet(first, body + (length(len(props)) + props if mqtt5 else b"") + payload)


def alias(value: int) -> bytes:
    return b"\x23" + number(value)
