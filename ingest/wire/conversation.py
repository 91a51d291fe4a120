"""What we and a broker say to each other on one connection, without any network: bytes in, bytes out, and the time.

    CONNECT -> CONNACK -> SUBSCRIBE (and UNSUBSCRIBE from what must not double) -> SUBACK -> messages, PUBACKs, pings

Whoever owns a conversation feeds it with what came (`take`), sends what is in `outgoing`, and calls `watch` from time
to time. Acknowledgements and messages may be handed in from another thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ingest.wire import packets, properties
from ingest.wire.errors import NoAnswerError, ProtocolViolationError, RefusedError, WireError
from ingest.wire.packets import Connack, Disconnect, Packet, Parser, Publish, Suback, Unsuback
from ingest.wire.properties import number_in, text_in
from ingest.wire.reason_codes import FIRST_FAILURE, connack_name_of, is_unsupported_version, name_of

_SUBSCRIBE_ID, _UNSUBSCRIBE_ID = 1, 2
_MOST_WAITING_BYTES = 1024 * 1024
_LEAST_BYTES_PER_S = 1024
_PING_AT = 0.75


@dataclass(frozen=True, slots=True)
class Terms:
    """What we ask a broker for. `filters` are subscribed with the QoS given, `unwanted` are not to be subscribed."""

    client_id: str
    filters: tuple[tuple[str, int], ...]
    unwanted: tuple[str, ...] = ()
    mqtt5: bool = True
    username: str | None = None
    password: str | None = None
    keepalive_s: int = 30
    answer_within_s: float = 10.0
    session_expiry_s: int = 0
    receive_maximum: int = 2000
    largest_packet: int = 16 * 1024 * 1024
    topic_aliases: int = 0


class Stage(Enum):
    """How far a conversation has come."""

    CONNECTING = auto()
    SUBSCRIBING = auto()
    READY = auto()


class Conversation:
    """One connection's words, from CONNECT on.

    `session_present` says that the broker has kept our session. `complaint` is what the broker does not give us of
    what we subscribed to; the rest of the conversation goes on.
    """

    def __init__(self, terms: Terms, now_s: float) -> None:
        self.stage = Stage.CONNECTING
        self.session_present = False
        self.complaint = ""
        self.keepalive_s = terms.keepalive_s
        self._terms = terms
        self._parser = Parser(mqtt5=terms.mqtt5, largest=terms.largest_packet, topic_aliases=terms.topic_aliases)
        self._outgoing = bytearray()
        self._lock = threading.Lock()
        self._begun_s = self._sent_s = self._packet_s = now_s
        self._pinged_s: float | None = None
        self._bytes_since_ping = 0
        self._largest_taken = 0
        self._failure: WireError | None = None
        self._say(
            packets.connect(
                mqtt5=terms.mqtt5,
                client_id=terms.client_id,
                username=terms.username,
                password=terms.password,
                keepalive_s=terms.keepalive_s,
                session={
                    properties.SESSION_EXPIRY_INTERVAL: terms.session_expiry_s,
                    properties.RECEIVE_MAXIMUM: terms.receive_maximum,
                    properties.MAXIMUM_PACKET_SIZE: terms.largest_packet,
                    properties.TOPIC_ALIAS_MAXIMUM: terms.topic_aliases,
                },
            )
        )

    # ------------------------------------------------------------------------------------------------ from the broker

    def take(self, data: bytes, now_s: float) -> list[Publish]:
        """Take bytes that came; return the messages among them.

        Raises:
            WireError: If the broker refuses us or breaks the rules. Messages that came before that are returned
                first; then it is raised by `watch`.
        """
        self._bytes_since_ping += len(data)
        found = self._parser.feed(data)
        if not found:
            return []
        self._packet_s = now_s
        self._pinged_s = None
        if self.stage is Stage.CONNECTING and not isinstance(found[0], Connack):
            raise ProtocolViolationError(f"{type(found[0]).__name__} came before the answer to CONNECT")
        messages: list[Publish] = []
        try:
            for packet in found:
                if type(packet) is Publish:
                    messages.append(packet)
                else:
                    self._answer(packet)
        except WireError as error:
            self._failure = error
            if not messages:
                raise
        return messages

    def watch(self, now_s: float) -> None:
        """Keep the connection alive.

        Raises:
            NoAnswerError: If the broker did not answer in time.
            WireError: What it said, or did against the rules, behind the last messages that were taken.
        """
        if self._failure is not None:
            raise self._failure
        self._parser.raise_violation()
        terms = self._terms
        if self.stage is Stage.CONNECTING:
            if now_s - self._begun_s > terms.answer_within_s:
                raise NoAnswerError(f"the broker does not answer: no CONNACK within {terms.answer_within_s:g} s")
            return
        if not self.keepalive_s:
            return
        if self._pinged_s is not None:
            waited_s = now_s - self._pinged_s
            if waited_s > self.keepalive_s and self._bytes_since_ping < _LEAST_BYTES_PER_S * waited_s:
                raise NoAnswerError(f"the broker does not answer: no PINGRESP within {self.keepalive_s} s")
        elif now_s - min(self._sent_s, self._packet_s) >= _PING_AT * self.keepalive_s:
            self._pinged_s, self._bytes_since_ping = now_s, 0
            self._say(packets.pingreq())

    def excuse(self, now_s: float) -> None:
        """Forgive the broker's silence: nobody has listened to it."""
        self._packet_s = now_s
        if self._pinged_s is not None:
            self._pinged_s = now_s

    # ------------------------------------------------------------------------------------------------ to the broker

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Acknowledge messages in the order given."""
        self._say(packets.pubacks(packet_ids))

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message with QoS 0; False where the broker takes none, or takes nothing at present."""
        message = packets.publish(topic, payload, mqtt5=self._terms.mqtt5)
        too_large = self._largest_taken and len(message) > self._largest_taken
        if self.stage is not Stage.READY or too_large or len(self._outgoing) > _MOST_WAITING_BYTES:
            return False
        self._say(message)
        return True

    def leave(self, reason_code: int = 0) -> None:
        """Say good-bye."""
        self._say(packets.disconnect(reason_code, mqtt5=self._terms.mqtt5))

    @property
    def has_outgoing(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._outgoing)

    def outgoing(self) -> bytes:
        """Return what waits to be sent."""
        with self._lock:
            return bytes(self._outgoing)

    def sent(self, count: int, now_s: float) -> None:
        """Take note that so many bytes of it were sent."""
        with self._lock:
            del self._outgoing[:count]
        self._sent_s = now_s

    # ------------------------------------------------------------------------------------------------

    def _say(self, packet: bytes) -> None:
        with self._lock:
            self._outgoing += packet

    def _answer(self, packet: Packet) -> None:
        if isinstance(packet, Connack):
            self._on_connack(packet)
        elif isinstance(packet, Suback):
            self._on_suback(packet)
        elif isinstance(packet, Unsuback) and packet.packet_id != _UNSUBSCRIBE_ID:
            raise ProtocolViolationError("an answer to an UNSUBSCRIBE that was never sent")
        elif isinstance(packet, Disconnect):
            raise RefusedError(f"the broker ends the connection: {_why(packet.code, packet.properties)}", packet.code)

    def _on_connack(self, packet: Connack) -> None:
        terms = self._terms
        if self.stage is not Stage.CONNECTING:
            raise ProtocolViolationError("a second answer to CONNECT")
        if packet.code:
            name = connack_name_of(packet.code, mqtt5=terms.mqtt5)
            said = text_in(packet.properties, properties.REASON_STRING)
            raise RefusedError(
                f"the broker refuses us: {name}{f' ({said})' if said else ''}",
                packet.code,
                is_version=terms.mqtt5 and is_unsupported_version(packet.code),
            )
        if number_in(packet.properties, properties.RECEIVE_MAXIMUM, 1) == 0:
            raise ProtocolViolationError("a CONNACK whose receive maximum is 0")
        self.session_present = packet.session_present
        self.keepalive_s = number_in(packet.properties, properties.SERVER_KEEP_ALIVE, terms.keepalive_s)
        self._largest_taken = number_in(packet.properties, properties.MAXIMUM_PACKET_SIZE, 0)
        self.stage = Stage.SUBSCRIBING
        self._say(packets.subscribe(_SUBSCRIBE_ID, terms.filters, mqtt5=terms.mqtt5))
        if terms.unwanted:
            self._say(packets.unsubscribe(_UNSUBSCRIBE_ID, terms.unwanted, mqtt5=terms.mqtt5))

    def _on_suback(self, packet: Suback) -> None:
        filters = self._terms.filters
        if self.stage is not Stage.SUBSCRIBING or packet.packet_id != _SUBSCRIBE_ID:
            raise ProtocolViolationError("an answer to a SUBSCRIBE that was never sent")
        if len(packet.codes) != len(filters):
            raise ProtocolViolationError(f"{len(packet.codes)} answers to a SUBSCRIBE with {len(filters)} filters")
        self.stage = Stage.READY
        self.complaint = _complaint(filters, packet.codes)


def _complaint(filters: Sequence[tuple[str, int]], codes: bytes) -> str:
    refused: dict[str, list[str]] = {}
    for (name, qos), code in zip(filters, codes, strict=True):
        if code >= FIRST_FAILURE:
            refused.setdefault(name_of(code), []).append(name)
        elif code < qos:
            refused.setdefault("QoS 0 only, which loses messages", []).append(name)
    causes = "; ".join(f"{', '.join(names)} ({cause})" for cause, names in refused.items())
    return f"the broker refuses the subscription to {causes}; allow it to our user" if causes else ""


def _why(code: int, found: properties.Properties) -> str:
    said = text_in(found, properties.REASON_STRING)
    return f"{name_of(code)}{f' ({said})' if said else ''}"
