"""The parser gives exactly the packets that were sent, however they are cut, and nothing but its own errors."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import mqtt_bytes as wire
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.wire.errors import MalformedPacketError, PacketTooLargeError, ProtocolViolationError
from ingest.wire.packets import KEPT_HEAD, NOT_UTF8, Connack, Disconnect, Parser, Pingresp, Publish, Suback, pubacks

LARGEST = 4096

topics = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
messages = st.builds(
    lambda topic, payload, qos, packet_id, dup: Publish(topic, payload, packet_id if qos else 0, bool(qos) and dup),
    topics,
    st.binary(max_size=300),
    st.integers(0, 1),
    st.integers(1, 65535),
    st.booleans(),
)


def written(message: Publish, *, mqtt5: bool, props: bytes = b"") -> bytes:
    return wire.publish(
        message.topic,
        message.payload,
        qos=1 if message.packet_id else 0,
        packet_id=message.packet_id,
        dup=message.is_redelivery,
        mqtt5=mqtt5,
        props=props,
    )


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(at)]


def fed(parser: Parser, chunks: list[bytes]) -> list[object]:
    return [packet for chunk in chunks for packet in parser.feed(chunk)]


@given(st.lists(messages, max_size=20), st.lists(st.integers(0, 10_000), max_size=30), st.booleans())
def test_any_portions_give_the_messages_that_were_sent(sent: list[Publish], places: list[int], mqtt5: bool) -> None:
    data = b"".join(written(message, mqtt5=mqtt5) for message in sent)
    assert fed(Parser(mqtt5=mqtt5, largest=LARGEST), cut(data, places)) == sent


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
@example([b"\x30\xff\xff\xff\x7f"], True)
@example([b"\x36\x02\0\0"], True)
@example([b"\x30\x80\x80\x80\x80\x01"], False)
@example([b"\x30\x00", b"\x30\x01\x00"], True)
def test_any_bytes_end_well_or_in_the_named_error(chunks: list[bytes], mqtt5: bool) -> None:
    parser = Parser(mqtt5=mqtt5, largest=LARGEST, topic_aliases=3)
    for chunk in chunks:
        try:
            parser.feed(chunk)
        except ProtocolViolationError:
            with pytest.raises(ProtocolViolationError):
                parser.feed(b"")
            return
        assert parser.held <= LARGEST


@given(st.lists(messages, min_size=1, max_size=5), st.integers(0, 2000), st.integers(0, 255), st.booleans())
def test_a_message_with_one_wrong_byte_breaks_nothing(sent: list[Publish], place: int, byte: int, mqtt5: bool) -> None:
    data = bytearray(b"".join(written(message, mqtt5=mqtt5) for message in sent))
    data[place % len(data)] = byte
    parser = Parser(mqtt5=mqtt5, largest=LARGEST)
    try:
        for chunk in cut(bytes(data), [7, 31, 100]):
            parser.feed(chunk)
    except ProtocolViolationError:
        pass
    assert parser.held <= LARGEST


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"\x30\x80\x80\x80\x80\x01", MalformedPacketError, id="length of five bytes"),
        pytest.param(b"\x30\x80\x00", MalformedPacketError, id="length longer than it needs"),
        pytest.param(b"\x00\x00", ProtocolViolationError, id="packet type 0"),
        pytest.param(b"\x10\x00", ProtocolViolationError, id="CONNECT from a broker"),
        pytest.param(b"\xf0\x00", ProtocolViolationError, id="AUTH that nobody asked for"),
        pytest.param(b"\x62\x02\x00\x01", MalformedPacketError, id="PUBREL for QoS 2"),
        pytest.param(b"\x91\x04\x00\x01\x00\x01", MalformedPacketError, id="SUBACK with flags"),
        pytest.param(b"\x90\x02\x00\x01", MalformedPacketError, id="SUBACK without codes"),
        pytest.param(b"\xd0\x01\x00", ProtocolViolationError, id="PINGRESP with a body"),
        pytest.param(b"\x20\x01\x00", MalformedPacketError, id="CONNACK cut short"),
        pytest.param(wire.publish("a", b"", qos=2), ProtocolViolationError, id="QoS 2"),
        pytest.param(wire.publish("a", b"", qos=3), MalformedPacketError, id="QoS 3"),
        pytest.param(wire.publish("a", b"", packet_id=0), MalformedPacketError, id="packet id 0"),
        pytest.param(wire.packet(0x38, b"\0\1a\0"), MalformedPacketError, id="QoS 0 sent again"),
        pytest.param(b"\x30\x00", MalformedPacketError, id="PUBLISH of nothing"),
        pytest.param(b"\x30\x04\x00\x09ab", MalformedPacketError, id="topic over the end"),
        pytest.param(b"\x32\x04\x00\x01a\x00", MalformedPacketError, id="packet id over the end"),
        pytest.param(b"\x30\x03\x00\x01a", MalformedPacketError, id="no properties"),
        pytest.param(wire.publish("", b""), ProtocolViolationError, id="no topic, no alias"),
        pytest.param(wire.publish("a", b"", props=wire.alias(0)), ProtocolViolationError, id="alias 0"),
        pytest.param(wire.publish("a", b"", props=wire.alias(6)), ProtocolViolationError, id="alias out of range"),
        pytest.param(wire.publish("", b"", props=wire.alias(1)), ProtocolViolationError, id="alias without a topic"),
        pytest.param(wire.publish("a", b"", props=b"\x7e\0"), MalformedPacketError, id="unknown property"),
        pytest.param(wire.publish("a", b"", props=b"\x01\0\x01\0"), ProtocolViolationError, id="property twice"),
        pytest.param(wire.publish("a", b"", props=b"\x26\0\xff"), MalformedPacketError, id="property over the end"),
        pytest.param(b"\x30\x05\x00\x01a\x7fb", MalformedPacketError, id="properties over the end"),
    ],
)
def test_what_no_broker_may_send_is_named(data: bytes, error: type[ProtocolViolationError]) -> None:
    good = Publish("t", b"1", 7, False)
    parser = Parser(mqtt5=True, largest=LARGEST, topic_aliases=5)
    assert parser.feed(written(good, mqtt5=True) + data) == [good], "what came before it is handed out first"
    with pytest.raises(error):
        parser.raise_violation()
    with pytest.raises(error):
        Parser(mqtt5=True, largest=LARGEST, topic_aliases=5).feed(data)


def test_an_alias_stands_for_the_topic_it_was_given_last() -> None:
    parser = Parser(mqtt5=True, largest=LARGEST, topic_aliases=2)
    data = [
        wire.publish("a", b"1", props=wire.alias(1)),
        wire.publish("b", b"2", props=wire.alias(2) + b"\x26" + wire.text("k") + wire.text("v")),
        wire.publish("", b"3", props=b"\x02\0\0\0\x09" + wire.alias(1)),
        wire.publish("c", b"4", props=wire.alias(1)),
        wire.publish("", b"5", props=wire.alias(1) + b"\x0b\x90\x4e\x0b\x01"),
        wire.publish("", b"6", props=wire.alias(2)),
    ]
    found = [(p.topic, p.payload) for p in parser.feed(b"".join(data)) if isinstance(p, Publish)]
    assert found == [("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"4"), ("c", b"5"), ("b", b"6")]


def test_answers_are_read_with_their_codes_and_properties() -> None:
    parser = Parser(mqtt5=True, largest=LARGEST)
    data = wire.connack(0, present=1, props=b"\x13\0\x3c\x1f" + wire.text("hi")) + wire.suback(b"\x01\x87")
    data += wire.packet(0xD0) + wire.packet(0xE0, b"\x8e") + wire.packet(0xE0)
    assert parser.feed(data) == [
        Connack(True, 0, {0x13: 60, 0x1F: b"hi"}),
        Suback(1, b"\x01\x87"),
        Pingresp(),
        Disconnect(0x8E),
        Disconnect(0),
    ]


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\0b", b"\xed\xa0\x80"], ids=["no UTF-8", "U+0000", "surrogate"])
def test_a_topic_that_is_no_text_keeps_its_message(name: bytes) -> None:
    found = Parser(mqtt5=True, largest=LARGEST).feed(wire.publish(name, b"x", packet_id=9))
    assert found == [Publish(NOT_UTF8, b"x", 9, False)]


@given(st.integers(0, 300_000), st.lists(st.integers(0, 400_000), max_size=12), st.booleans(), st.integers(0, 1))
def test_of_a_message_that_is_too_large_the_head_is_kept_and_the_rest_skipped(
    more: int, places: list[int], mqtt5: bool, qos: int
) -> None:
    largest = 100_000
    payload = bytes(range(256)) * ((largest + more) // 256 + 1)
    data = wire.publish("big", payload, packet_id=3, qos=qos, mqtt5=mqtt5) + wire.publish("b", b"next", mqtt5=mqtt5)
    big, following = fed(Parser(mqtt5=mqtt5, largest=largest), cut(data, places))
    assert big == Publish("big", payload[:KEPT_HEAD], 3 * qos, False, len(payload) - KEPT_HEAD)
    assert following == Publish("b", b"next", 1, False)


def test_a_large_packet_that_is_no_message_is_named() -> None:
    with pytest.raises(PacketTooLargeError, match="no message"):
        Parser(mqtt5=True, largest=1024).feed(b"\x90\xff\xff\x7f" + bytes(2000))


def test_an_endless_trickle_grows_no_memory() -> None:
    parser = Parser(mqtt5=True, largest=1024 * 1024)
    parser.feed(b"\x30\xff\xff\xff\x7f\x00\x01a\x00")
    tracemalloc.start()
    for _ in range(3000):
        parser.feed(bytes(1000))
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 2 * 1024 * 1024


def test_many_acknowledgements_are_one_string_in_order() -> None:
    ids = [1, 65535, 256, 255, 1]
    assert pubacks(ids) == b"".join(b"\x40\x02" + wire.number(packet_id) for packet_id in ids)
    assert pubacks([]) == b""
