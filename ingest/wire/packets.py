"""Packets as bytes, both ways, without any network: `Parser` is fed with what came, the functions write what goes.

The parser takes bytes in any portions and gives whole packets. It holds at most one packet that is not complete, and
that one only up to the largest it was told to take: of a larger message it gives the head, and skips the rest. What a
broker must not send ends in a `ProtocolViolationError`; the whole packets before it are given out first.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

import msgspec

from ingest.wire import properties
from ingest.wire.errors import MalformedPacketError, PacketTooLargeError, ProtocolViolationError
from ingest.wire.properties import Properties, read_properties, variable, write_properties

NOT_UTF8 = "(a topic that is not UTF-8)"
"""Stands for such a topic, and for one with U+0000. No broker should let it in; no source matches it, so the message is
kept as a letter."""
KEPT_HEAD = 64 * 1024
"""So much is kept of the payload of a message that is too large."""

_CONNACK, _PUBLISH, _SUBACK, _UNSUBACK, _PINGRESP, _DISCONNECT = 2, 3, 9, 11, 13, 14
_REMEMBERED_TOPICS = 50_000
_LONGEST_REMEMBERED = 160
_ALIAS_INVALID, _QOS_NOT_SUPPORTED = 0x94, 0x9B


class Publish(msgspec.Struct, frozen=True, gc=False):
    """A message. `packet_id` is 0 with QoS 0; `is_redelivery` is the DUP flag; `missing` bytes were not kept."""

    topic: str
    payload: bytes
    packet_id: int
    is_redelivery: bool
    missing: int = 0


class Connack(msgspec.Struct, frozen=True):
    """The answer to CONNECT."""

    session_present: bool
    code: int
    properties: Properties = properties.NONE


class Suback(msgspec.Struct, frozen=True):
    """The answer to SUBSCRIBE, a code for each filter."""

    packet_id: int
    codes: bytes


class Unsuback(msgspec.Struct, frozen=True):
    """The answer to UNSUBSCRIBE."""

    packet_id: int


class Pingresp(msgspec.Struct, frozen=True):
    """The answer to PINGREQ."""


class Disconnect(msgspec.Struct, frozen=True):
    """The broker takes its leave (MQTT 5 only)."""

    code: int
    properties: Properties = properties.NONE


Packet = Publish | Connack | Suback | Unsuback | Pingresp | Disconnect


class Parser:
    """Reads what one broker sends on one connection. `largest` is in bytes, `topic_aliases` the highest alias."""

    def __init__(self, *, mqtt5: bool, largest: int, topic_aliases: int = 0) -> None:
        self._mqtt5 = mqtt5
        self._largest = largest
        self._topic_aliases = topic_aliases
        self._aliases: dict[int, str] = {}
        self._topics: dict[bytes, str] = {}
        self._held = bytearray()
        self._needed = 0
        self._skip = 0
        self._violation: ProtocolViolationError | None = None

    @property
    def held(self) -> int:
        """The number of bytes of a packet that is not complete."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes and return the packets that are complete now.

        Raises:
            ProtocolViolationError: At the first thing that must not be; then, and whenever it is fed again.
        """
        self.raise_violation()
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return []
            data = bytes(self._held)
            self._held.clear()
        packets: list[Packet] = []
        try:
            self._hold(data, self._whole_packets(data, packets))
        except ProtocolViolationError as error:
            self._violation = error
            if not packets:
                raise
        return packets

    def raise_violation(self) -> None:
        """Raise what `feed` met behind the packets that it gave out, if anything."""
        if self._violation is not None:
            raise self._violation

    def _whole_packets(self, data: bytes, packets: list[Packet]) -> int:
        """Append every whole packet in `data`; return the place behind the last one.

        The way of a PUBLISH is written out in place: it is taken tens of thousands of times a second.
        """
        at, end = 0, len(data)
        mqtt5, topics, take = self._mqtt5, self._topics, packets.append
        while end - at >= 2:
            first, length, body = data[at], data[at + 1], at + 2
            if length >= 0x80:
                length, body = self._long_length(data, at, end)
                if body == 0:
                    return at
            stop = body + length
            if stop - at > self._largest:
                if end - at < self._largest:
                    return at
                take(self._head(data, at, body, stop))
                self._skip = max(0, stop - end)
                at = min(stop, end)
                continue
            if stop > end:
                return at
            if first >> 4 != _PUBLISH:
                take(self._answer(first, data[body:stop]))
                at = stop
                continue
            name_end = body + 2 + (data[body] << 8 | data[body + 1]) if length >= 2 else stop + 1
            qos = first & 6
            rest = name_end + 2 if qos else name_end
            if qos > 2 or rest > stop or (mqtt5 and rest == stop):
                raise _bad_publish(qos, rest, stop)
            packet_id = data[name_end] << 8 | data[name_end + 1] if qos else 0
            if not packet_id and (qos or first & 8):
                raise MalformedPacketError("a PUBLISH with QoS 1 and packet id 0, or one repeated with QoS 0")
            name = data[body + 2 : name_end]
            if mqtt5 and data[rest]:
                topic, rest = self._topic_by_properties(data, name, rest, stop)
            else:
                topic = topics.get(name) or self._topic(name)
                rest += mqtt5
            take(Publish(topic, data[rest:stop], packet_id, first & 8 != 0))
            at = stop
        return at

    def _head(self, data: bytes, at: int, body: int, stop: int) -> Publish:
        """Return what is kept of a message that is too large, of which the first `largest` bytes are there."""
        first, end = data[at], at + self._largest
        name_end = body + 2 + (data[body] << 8 | data[body + 1])
        qos = first & 6
        rest = name_end + 2 if qos else name_end
        packet_id = data[name_end] << 8 | data[name_end + 1] if qos and rest <= end else 0
        if first >> 4 != _PUBLISH or qos > 2 or rest >= end or bool(qos) is not bool(packet_id):
            raise PacketTooLargeError(
                f"the broker sends a packet of {stop - at:,} bytes that is no message; {self._largest:,} are allowed"
            )
        topic = ""
        if self._mqtt5:
            topic, rest = self._topic_by_properties(data, data[body + 2 : name_end], rest, end)
        topic = topic or self._topic(data[body + 2 : name_end])
        kept = data[rest : min(end, rest + KEPT_HEAD)]
        return Publish(topic, kept, packet_id, first & 8 != 0, stop - rest - len(kept))

    def _hold(self, data: bytes, at: int) -> None:
        """Keep the beginning of a packet, and know how much of it must be there before looking again."""
        if at == len(data):
            return
        self._held += data[at:] if at else data
        length, body = self._held[1] if len(self._held) > 1 else 0, 2
        if length >= 0x80:
            length, body = self._long_length(self._held, 0, len(self._held))
        self._needed = min(body + length, self._largest) if body else len(self._held) + 1

    def _long_length(self, data: bytes | bytearray, at: int, end: int) -> tuple[int, int]:
        """Return a remaining length of several bytes and the place behind it; the place 0 if it is not complete."""
        length = 0
        for place in range(4):
            if at + 1 + place >= end:
                return 0, 0
            byte = data[at + 1 + place]
            length |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if self._mqtt5 and place and not byte:
                    raise MalformedPacketError("a packet's length is written with more bytes than it needs")
                return length, at + 2 + place
        raise MalformedPacketError("a packet's length has more than four bytes")

    def _topic(self, name: bytes) -> str:
        if not name:
            raise ProtocolViolationError("a PUBLISH without a topic and without an alias for one")
        try:
            topic = NOT_UTF8 if b"\0" in name else name.decode("utf-8")
        except UnicodeDecodeError:
            topic = NOT_UTF8
        if len(name) <= _LONGEST_REMEMBERED:
            if len(self._topics) >= _REMEMBERED_TOPICS:
                self._topics.clear()
            self._topics[name] = topic
        return topic

    def _topic_by_properties(self, data: bytes, name: bytes, at: int, stop: int) -> tuple[str, int]:
        """Return the topic of a PUBLISH with properties, and where its payload begins."""
        found, at = read_properties(data, at, stop)
        if properties.TOPIC_ALIAS not in found:
            return self._topics.get(name) or self._topic(name), at
        alias = properties.number_in(found, properties.TOPIC_ALIAS, 0)
        if not 1 <= alias <= self._topic_aliases:
            raise ProtocolViolationError(f"topic alias {alias} lies outside 1 to {self._topic_aliases}", _ALIAS_INVALID)
        if name:
            self._aliases[alias] = self._topic(name)
        elif alias not in self._aliases:
            raise ProtocolViolationError(f"topic alias {alias} was never given a topic", _ALIAS_INVALID)
        return self._aliases[alias], at

    def _answer(self, first: int, body: bytes) -> Packet:
        kind = first >> 4
        if first & 0x0F:
            raise MalformedPacketError(f"packet type {kind} with flags that it must not have")
        if kind == _CONNACK:
            return self._connack(body)
        if kind == _SUBACK:
            return self._suback(body)
        if kind == _UNSUBACK and len(body) >= 2:
            return Unsuback(body[0] << 8 | body[1])
        if kind == _PINGRESP and not body:
            return Pingresp()
        if kind == _DISCONNECT and self._mqtt5:
            found = read_properties(body, 1, len(body))[0] if len(body) > 1 else properties.NONE
            return Disconnect(body[0] if body else 0, found)
        raise ProtocolViolationError(f"a packet of type {kind} and {len(body)} bytes, which no broker may send us")

    def _connack(self, body: bytes) -> Connack:
        if len(body) < 2 or body[0] > 1 or (len(body) > 2 and not self._mqtt5):
            raise MalformedPacketError("a CONNACK that is none")
        found: Properties = properties.NONE
        if len(body) > 2:  # a broker that knows only 3.1.1 answers in its own way, also to MQTT 5
            found, behind = read_properties(body, 2, len(body))
            if behind != len(body):
                raise MalformedPacketError("a CONNACK with bytes behind its end")
        return Connack(body[0] == 1, body[1], found)

    def _suback(self, body: bytes) -> Suback:
        if len(body) < 3:
            raise MalformedPacketError("a SUBACK that is none")
        at = read_properties(body, 2, len(body))[1] if self._mqtt5 else 2
        return Suback(body[0] << 8 | body[1], body[at:])


def _bad_publish(qos: int, rest: int, stop: int) -> ProtocolViolationError:
    if qos == 6:
        return MalformedPacketError("a PUBLISH with QoS 3")
    if qos == 4:
        return ProtocolViolationError("a PUBLISH with QoS 2, which was never asked for", _QOS_NOT_SUPPORTED)
    if rest > stop:
        return MalformedPacketError("a PUBLISH whose topic runs over its end")
    return MalformedPacketError("a PUBLISH that ends before its properties")


# ---------------------------------------------------------------------------------------------- what we send


def connect(
    *,
    mqtt5: bool,
    client_id: str,
    username: str | None,
    password: str | None,
    keepalive_s: int,
    session: dict[int, int],
) -> bytes:
    """Return CONNECT, asking for the persistent session; `session` are its properties (MQTT 5)."""
    flags = (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    body = _text("MQTT") + bytes([5 if mqtt5 else 4, flags]) + keepalive_s.to_bytes(2, "big")
    if mqtt5:
        body += write_properties(session)
    body += _text(client_id)
    for secret in (username, password):
        if secret is not None:
            body += _text(secret)
    return _packet(0x10, body)


def subscribe(packet_id: int, filters: Sequence[tuple[str, int]], *, mqtt5: bool) -> bytes:
    """Return SUBSCRIBE to filters, each with its QoS.

    With MQTT 5 retained messages are asked for only when a subscription is new: they need not come at every connect.
    """
    body = packet_id.to_bytes(2, "big") + (b"\0" if mqtt5 else b"")
    retained_if_new = 0x10 if mqtt5 else 0
    body += b"".join([_text(name) + bytes([qos | retained_if_new]) for name, qos in filters])
    return _packet(0x82, body)


def unsubscribe(packet_id: int, filters: Sequence[str], *, mqtt5: bool) -> bytes:
    """Return UNSUBSCRIBE."""
    body = packet_id.to_bytes(2, "big") + (b"\0" if mqtt5 else b"")
    return _packet(0xA2, body + b"".join(map(_text, filters)))


def pubacks(packet_ids: Sequence[int]) -> bytes:
    """Return a PUBACK for each packet id, in the order given."""
    count = len(packet_ids)
    ids = array("H", packet_ids)
    if sys.byteorder == "little":
        ids.byteswap()
    numbers = ids.tobytes()
    written = bytearray(4 * count)
    written[0::4] = b"\x40" * count
    written[1::4] = b"\x02" * count
    written[2::4] = numbers[0::2]
    written[3::4] = numbers[1::2]
    return bytes(written)


def publish(topic: str, payload: bytes, *, mqtt5: bool) -> bytes:
    """Return PUBLISH with QoS 0."""
    return _packet(0x30, _text(topic) + (b"\0" if mqtt5 else b"") + payload)


def pingreq() -> bytes:
    """Return PINGREQ."""
    return b"\xc0\x00"


def disconnect(code: int, *, mqtt5: bool) -> bytes:
    """Return DISCONNECT; only MQTT 5 says why."""
    return _packet(0xE0, bytes([code]) if mqtt5 and code else b"")


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + variable(len(body)) + body


def _text(text: str) -> bytes:
    written = text.encode("utf-8")
    return len(written).to_bytes(2, "big") + written
