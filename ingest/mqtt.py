"""The ingester: takes messages from an MQTT broker, and acknowledges each only when what it held is durable.

Rules that keep data (each was measured to lose some when broken):

- a persistent session (fixed client id, clean_start off from the first time on, a week's expiry), subscribed anew on
  every connect;
- manual acknowledgement, in order of receipt, after the commit, and only on the connection the message came by;
- a store that is away or full stops the acknowledgements: the broker keeps the messages, nothing is dropped;
- no exception ends a thread; a heartbeat to itself tells a silent connection from a quiet network.

Two threads. The network thread owns the connection and fills the queue. The worker empties it in batches through the
`Pipeline` and hands back the acknowledgements.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from paho.mqtt import client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.connection import Connection
from ingest.decoders.base import Command
from ingest.message import Message
from ingest.mqtt_settings import MqttSettings, Protocol
from ingest.pipeline import BatchOutcome, Pipeline, PreparedBatch
from twin.clock import Clock
from twin.errors import UnavailableError

__all__ = ["IngestState", "MqttIngester", "MqttSettings"]

_LOG = logging.getLogger(__name__)
_IDLE_S = 0.2
_UNSUPPORTED_PROTOCOL = "Unsupported protocol version"


@dataclass(frozen=True, slots=True)
class IngestState:
    """How the ingester is. `paused_because` and `last_error` are empty when all is well.

    `connected` means that the broker has taken our subscriptions: from then on it keeps what is published for us.
    `received` counts messages; `stored`, `duplicates` and `letters` count readings (`dead` only new letters).
    `in_flight` messages are received and not yet acknowledged. `dropped` counts QoS 0 messages that found the queue
    full: nobody can send those again. `heartbeat` is False until an own heartbeat came back on this broker.
    """

    connected: bool = False
    paused_because: str = ""
    last_error: str = ""
    last_packet_at: datetime | None = None
    connections: int = 0
    protocol: str = ""
    heartbeat: bool = False
    received: int = 0
    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    letters: int = 0
    dropped: int = 0
    in_flight: int = 0
    by_reason: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A message, and the connection and packet id it must be acknowledged by (QoS 0: packet id 0)."""

    message: Message
    connection: Connection
    packet_id: int


class MqttIngester:
    """Feeds a pipeline from a broker until it is stopped."""

    def __init__(self, settings: MqttSettings, pipeline: Pipeline, clock: Clock) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._clock = clock
        self._heartbeat_topic = f"h2twin/heartbeat/{settings.client_id}"
        self._mqtt5 = settings.protocol is not Protocol.V311
        self._stopping = threading.Event()
        self._drained = threading.Event()
        self._queue: deque[_Arrived] = deque()
        self._arrival = threading.Condition()
        self._overflowed = False
        self._working_on = 0
        self._counts = Counter[str]()
        self._by_reason = Counter[str]()
        self._connected = False
        self._connections = 0
        self._connection: Connection | None = None
        self._paused_because = ""
        self._last_error = ""
        self._last_packet_at: datetime | None = None
        self._last_packet_s = 0.0
        self._heartbeat_seen = False
        self._network = threading.Thread(target=self._run_network, name="ingest-network", daemon=True)
        self._worker = threading.Thread(target=self._run_worker, name="ingest-worker", daemon=True)

    def start(self) -> None:
        """Begin; returns at once. A broker that is away is tried until it answers. Starting twice is harmless."""
        if not self._network.is_alive() and not self._stopping.is_set():
            self._network.start()
            self._worker.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Make durable and acknowledge what is here, if that works within the time, and take leave of the broker.

        What stays unacknowledged comes again at the next start.
        """
        end = time.monotonic() + timeout_s
        self._stopping.set()
        with self._arrival:
            self._arrival.notify_all()
        for thread in (self._worker, self._network):
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        if self._network.is_alive():
            self._drained.set()
            self._network.join(2.0)

    def state(self) -> IngestState:
        """Return how the ingester is right now."""
        return IngestState(
            connected=self._connected,
            paused_because=self._paused_because,
            last_error=self._last_error,
            last_packet_at=self._last_packet_at,
            connections=self._connections,
            protocol=str(Protocol.V5 if self._mqtt5 else Protocol.V311),
            heartbeat=self._heartbeat_seen,
            in_flight=len(self._queue) + self._working_on,
            by_reason=dict(self._by_reason),
            received=self._counts["received"],
            stored=self._counts["stored"],
            duplicates=self._counts["duplicates"],
            dead=self._counts["dead"],
            letters=self._counts["letters"],
            dropped=self._counts["dropped"],
        )

    # ------------------------------------------------------------------------------------------ network thread

    def _run_network(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            before = self._connections
            try:
                self._hold_connection()
            except OSError as error:
                self._report(f"the broker {self._settings.address} cannot be reached: {error}")
            except Exception as error:  # a defect, ours or paho's, must not end the thread
                _LOG.exception("the connection to the broker failed unexpectedly")
                self._report(f"unexpected {type(error).__name__}: {error}")
            finally:
                self._connected = False
            came_up = self._connections > before
            wait_s = (
                self._settings.retry_s if came_up or wait_s == 0 else min(2 * wait_s, self._settings.longest_retry_s)
            )

    def _hold_connection(self) -> None:
        """Connect and turn the loop until the connection is lost, given up, or all is done."""
        connection = Connection(self._settings, mqtt5=self._mqtt5)
        connection.on_connect = self._on_connect
        connection.on_subscribe = self._on_subscribe
        connection.on_message = self._on_message
        connection.on_disconnect = self._on_disconnect
        self._overflowed = False
        self._connection = connection
        try:
            connection.open(self._settings, mqtt5=self._mqtt5)
            self._last_packet_s = time.monotonic()
            beat_at = 0.0
            while connection.turn(_IDLE_S):
                if self._is_done():
                    connection.disconnect()
                    connection.turn(_IDLE_S)
                    return
                beat_at = self._beat(connection, beat_at)
                if self._is_to_be_given_up():
                    return
        finally:
            connection.abandon()

    def _is_done(self) -> bool:
        return self._stopping.is_set() and (self._drained.is_set() or not self._worker.is_alive())

    def _beat(self, connection: Connection, due_at: float) -> float:
        now = time.monotonic()
        if not self._connected or now < due_at:
            return due_at
        connection.publish(self._heartbeat_topic, b"", qos=0)
        return now + self._settings.heartbeat_s

    def _is_to_be_given_up(self) -> bool:
        if self._overflowed and not self._queue:
            return True  # all that fitted is dealt with; the broker sends the rest again to a new connection
        silent_s = time.monotonic() - self._last_packet_s
        if silent_s <= self._settings.silence_s:
            return False
        if not self._connected:
            self._report(f"the broker {self._settings.address} does not answer")
            return True
        if self._heartbeat_seen:
            self._report(f"nothing came for {silent_s:.0f} s, not even our own heartbeat; connecting anew")
            return True
        return False

    def _on_connect(
        self, client: paho.Client, _data: object, flags: paho.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._report(f"the broker {self._settings.address} refuses us: {reason}")
            if self._settings.protocol is Protocol.AUTO and reason.getName() == _UNSUPPORTED_PROTOCOL:
                self._mqtt5 = False
            return
        client.subscribe([*((topic, 1) for topic in self._pipeline.subscriptions), (self._heartbeat_topic, 0)])
        self._connections += 1
        self._last_packet_s = time.monotonic()
        self._last_error = ""
        _LOG.info("connected to %s, session %s", self._settings.address, "kept" if flags.session_present else "new")

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _packet_id: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        topics = [*self._pipeline.subscriptions, self._heartbeat_topic]
        refused = [topic for topic, reason in zip(topics, reasons, strict=False) if reason.is_failure]
        if refused:
            self._report(f"the broker refuses the subscription to {', '.join(refused)}; allow it to our user")
        self._connected = True

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._connected = False
        if reason.is_failure:
            self._report(f"the connection to {self._settings.address} was lost: {reason}")

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        assert isinstance(client, Connection)
        self._last_packet_s = time.monotonic()
        self._last_packet_at = received_at = self._clock.now()
        topic = _topic_of(message)
        packet_id = message.mid if message.qos else 0
        if topic == self._heartbeat_topic and not packet_id:
            self._heartbeat_seen = True
            return
        if self._stopping.is_set():
            return  # unacknowledged: it comes again at the next start
        with self._arrival:
            if self._overflowed or len(self._queue) >= self._settings.queue_maximum:
                self._overflow(packet_id)
                return
            self._queue.append(_Arrived(Message(topic, bytes(message.payload), received_at), client, packet_id))
            if len(self._queue) in (1, self._settings.batch):
                self._arrival.notify()

    def _overflow(self, packet_id: int) -> None:
        """Leave a message unacknowledged; none after it may be acknowledged either until the broker begins anew."""
        if packet_id:
            self._overflowed = True
        else:
            self._counts["dropped"] += 1

    def _report(self, what: str) -> None:
        if what != self._last_error and not self._stopping.is_set():
            _LOG.warning("%s", what)
        self._last_error = what

    # ------------------------------------------------------------------------------------------- worker thread

    def _run_worker(self) -> None:
        try:
            while batch := self._next_batch():
                self._working_on = len(batch)
                if self._make_durable([arrived.message for arrived in batch]):
                    self._acknowledge(batch)
                self._working_on = 0
        finally:
            self._drained.set()

    def _next_batch(self) -> list[_Arrived]:
        """Wait for messages and return up to a batch of them; nothing once we are stopping and the queue is empty."""
        with self._arrival:
            while not self._queue:
                if self._stopping.is_set():
                    return []
                self._arrival.wait(_IDLE_S)
            if len(self._queue) < self._settings.batch and not self._stopping.is_set():
                self._arrival.wait(self._settings.linger_s)
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._settings.batch))]
        self._counts["received"] += len(taken)
        return taken

    def _make_durable(self, messages: list[Message]) -> bool:
        """Try until it is durable; False if we are stopped before."""
        wait_s = self._settings.retry_s
        prepared: PreparedBatch | None = None
        while True:
            try:
                prepared = prepared or self._pipeline.prepare(messages)
                outcome = self._pipeline.commit(prepared)
                self._count(outcome)
                self._send(outcome.commands)
            except UnavailableError as error:
                self._pause(str(error))
            except Exception as error:  # a defect must lose nothing: the messages stay with the broker, and we say so
                if not self._paused_because:
                    _LOG.exception("a batch of messages cannot be made durable")
                self._pause(f"unexpected {type(error).__name__}: {error}")
            else:
                if self._paused_because:
                    _LOG.info("readings are stored again")
                self._paused_because = ""
                return True
            if self._stopping.wait(wait_s):
                return False
            wait_s = min(2 * wait_s, self._settings.longest_retry_s)

    def _acknowledge(self, batch: list[_Arrived]) -> None:
        """Acknowledge in order of receipt, each message on the connection it came by."""
        packet_ids: dict[Connection, list[int]] = {}
        for arrived in batch:
            if arrived.packet_id:
                packet_ids.setdefault(arrived.connection, []).append(arrived.packet_id)
        try:
            for connection, ids in packet_ids.items():
                connection.acknowledge(ids)
        except Exception:  # the broker sends them again to a new connection; repeats are absorbed
            _LOG.exception("acknowledgements could not be sent")
            self._overflowed = True

    def _pause(self, why: str) -> None:
        if why != self._paused_because:
            _LOG.warning("paused, nothing is acknowledged and nothing is lost: %s", why)
        self._paused_because = why

    def _send(self, commands: Sequence[Command]) -> None:
        """Hand commands to the broker, once; whoever does not get one is asked again when there is reason to."""
        connection = self._connection
        if connection is not None:
            for command in commands:
                connection.publish(command.topic, command.payload, qos=0)

    def _count(self, outcome: BatchOutcome) -> None:
        self._counts["stored"] += outcome.stored
        self._counts["duplicates"] += outcome.duplicates
        self._counts["dead"] += outcome.dead
        self._counts["letters"] += sum(outcome.by_reason.values())
        self._by_reason.update(outcome.by_reason)


def _topic_of(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:  # against the standard; no source will match it, so it ends as a dead letter
        return "(a topic that is not UTF-8)"
