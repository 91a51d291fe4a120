"""The ingester: takes messages from an MQTT broker, and acknowledges each only when what it held is durable.

Rules that keep data (each was measured to lose some when broken):

- a persistent session (fixed client id, clean_start off from the first time on, a week's expiry), subscribed anew on
  every connect;
- manual acknowledgement, in order of receipt, after the commit, and only on the connection the message came by;
- a store that is away or full stops the acknowledgements: the broker keeps the messages, nothing is dropped;
- no exception ends a thread; a heartbeat to itself tells a silent connection from a quiet network.

Two threads. The network thread owns the connection (`ingest.wire`) and fills the inbox. The worker empties it in
batches through the `Pipeline` and hands back the acknowledgements.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ingest.inbox import Batch, Inbox
from ingest.message import Message
from ingest.mqtt_settings import MqttSettings, Protocol
from ingest.pipeline import BatchOutcome, Pipeline
from ingest.tls import tls_context
from ingest.wire.connection import Connection
from ingest.wire.conversation import Stage, Terms
from ingest.wire.errors import RefusedError, WireError
from ingest.wire.packets import Publish
from ingest.wire.subscriptions import Subscriptions
from twin.clock import Clock
from twin.errors import ConfigError, UnavailableError

__all__ = ["IngestState", "MqttIngester", "MqttSettings"]

_LOG = logging.getLogger(__name__)
_IDLE_S = 0.2
_MOST_AT_ODDS = 4


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


class MqttIngester:
    """Feeds a pipeline from a broker until it is stopped."""

    def __init__(self, settings: MqttSettings, pipeline: Pipeline, clock: Clock) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._clock = clock
        self._heartbeat_topic = f"h2twin/heartbeat/{settings.client_id}"
        self._mqtt5 = settings.protocol is not Protocol.V311
        self._subscriptions = Subscriptions(pipeline.subscriptions)
        self._stopping = threading.Event()
        self._drained = threading.Event()
        self._inbox = Inbox(
            batch=settings.batch, batch_bytes=settings.batch_bytes, linger_s=settings.linger_s, idle_s=_IDLE_S
        )
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
        self._inbox.close()
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
            in_flight=self._inbox.count + self._working_on,
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
            except WireError as error:
                self._fall_back(error)
                self._report(f"{self._settings.address}: {error}")
            except ConfigError as error:
                self._report(str(error))
            except Exception as error:  # a defect of ours must not end the thread
                _LOG.exception("the connection to the broker failed unexpectedly")
                self._report(f"unexpected {type(error).__name__}: {error}")
            finally:
                self._connected = False
            came_up = self._connections > before
            wait_s = (
                self._settings.retry_s if came_up or wait_s == 0 else min(2 * wait_s, self._settings.longest_retry_s)
            )

    def _fall_back(self, error: WireError) -> None:
        if isinstance(error, RefusedError) and error.is_version and self._settings.protocol is Protocol.AUTO:
            self._mqtt5 = False

    def _hold_connection(self) -> None:
        """Connect and turn the loop until the connection is lost, given up, or all is done."""
        settings = self._settings
        connection = Connection(settings.host, settings.port, self._terms(), tls=tls_context(settings))
        self._overflowed = False
        self._connection = connection
        try:
            connection.open()
            self._last_packet_s = time.monotonic()
            beat_at = 0.0
            while True:
                reading = self._has_room()
                messages = connection.turn(_IDLE_S, reading=reading)
                if messages:
                    self._take(connection, messages)
                elif not reading:
                    self._last_packet_s = time.monotonic()
                if not self._connected:
                    self._greet(connection)
                if self._is_done():
                    connection.leave()
                    return
                beat_at = self._beat(connection, beat_at)
                if self._is_to_be_given_up():
                    return
        finally:
            connection.close()

    def _terms(self) -> Terms:
        settings, wanted = self._settings, self._subscriptions
        prefix = f"$share/{settings.share}/" if settings.share else ""
        dropped = (*wanted.dropped, *wanted.filters) if prefix else wanted.dropped
        return Terms(
            client_id=settings.client_id,
            filters=(*((f"{prefix}{name}", 1) for name in wanted.filters), (self._heartbeat_topic, 0)),
            unwanted=tuple(dict.fromkeys((*dropped, *(f"{prefix}{name}" for name in wanted.dropped)))),
            mqtt5=self._mqtt5,
            username=settings.username,
            password=settings.password,
            keepalive_s=settings.keepalive_s,
            answer_within_s=settings.connect_timeout_s,
            session_expiry_s=settings.session_expiry_s,
            receive_maximum=settings.receive_maximum,
            largest_packet=settings.largest_packet_bytes,
            topic_aliases=settings.topic_alias_maximum,
        )

    def _greet(self, connection: Connection) -> None:
        """Take note that the broker has taken our subscriptions, once it has."""
        words = connection.words
        if words.stage is not Stage.READY:
            return
        self._connections += 1
        self._last_packet_s = time.monotonic()
        self._last_error = ""
        if words.complaint:
            self._report(words.complaint)
        self._connected = True
        kept = "kept" if words.session_present else "new"
        _LOG.info("connected to %s, session %s", self._settings.address, kept)

    def _has_room(self) -> bool:
        """Whether to read on. What waits in the network costs the broker nothing; a store that is away may be so for
        long, and then the broker keeps what does not fit into the inbox."""
        inbox, settings = self._inbox, self._settings
        if self._paused_because or self._overflowed:
            return True
        return 2 * inbox.count < settings.queue_maximum and 2 * inbox.size < settings.queue_bytes

    def _is_done(self) -> bool:
        return self._stopping.is_set() and (self._drained.is_set() or not self._worker.is_alive())

    def _beat(self, connection: Connection, due_at: float) -> float:
        now = time.monotonic()
        if not self._connected or now < due_at:
            return due_at
        connection.publish(self._heartbeat_topic, b"")
        return now + self._settings.heartbeat_s

    def _is_to_be_given_up(self) -> bool:
        if self._overflowed and not self._inbox.count:
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

    def _take(self, connection: Connection, published: Sequence[Publish]) -> None:
        self._last_packet_s = time.monotonic()
        self._last_packet_at = received_at = self._clock.now()
        packet_ids = [message.packet_id for message in published]
        if 0 in packet_ids or self._subscriptions.is_widened:
            published = self._without_own(connection, published)
            packet_ids = [message.packet_id for message in published]
        if self._stopping.is_set() or not published:
            return  # unacknowledged: it comes again at the next start
        room = self._room_for(published)
        if room < len(published):
            self._overflow(packet_ids[room:])
            published, packet_ids = published[:room], packet_ids[:room]
        if published:
            messages = [Message(p.topic, p.payload, received_at, p.is_redelivery, p.missing) for p in published]
            self._inbox.put(connection, messages, packet_ids)

    def _without_own(self, connection: Connection, published: Sequence[Publish]) -> list[Publish]:
        """Return the messages but for our heartbeat and what nobody asked for, which is acknowledged at once."""
        others = []
        for message in published:
            if message.topic == self._heartbeat_topic and not message.packet_id:
                self._heartbeat_seen = True
            elif self._subscriptions.wants(message.topic):
                others.append(message)
            elif message.packet_id:
                connection.acknowledge([message.packet_id])
        return others

    def _room_for(self, published: Sequence[Publish]) -> int:
        """Return how many of these messages fit into the inbox."""
        if self._overflowed or self._inbox.size >= self._settings.queue_bytes:
            return 0
        return max(0, min(len(published), self._settings.queue_maximum - self._inbox.count))

    def _overflow(self, packet_ids: Sequence[int]) -> None:
        """Leave messages unacknowledged; none after them may be acknowledged until the broker begins anew."""
        lost = packet_ids.count(0)
        self._counts["dropped"] += lost
        if lost < len(packet_ids):
            self._overflowed = True

    def _report(self, what: str) -> None:
        if what != self._last_error and not self._stopping.is_set():
            _LOG.warning("%s", what)
        self._last_error = what

    # ------------------------------------------------------------------------------------------- worker thread

    def _run_worker(self) -> None:
        try:
            while (batch := self._inbox.take()).messages:
                self._work(batch)
                self._working_on = 0
        finally:
            self._drained.set()

    def _work(self, first: Batch) -> None:
        """Make a batch durable and acknowledge it; return when that is done or we are stopping.

        Where a defect stands in the way, the batches behind it are tried too: they show whether it is the store that
        fails or one message, which the pipeline can then set apart. They are acknowledged in their turn.
        """
        waiting = [self._begin(first)]
        wait_s = self._settings.retry_s
        while waiting:
            is_defect = [self._try(batch) for batch in waiting]
            if any(is_defect) and any(batch.is_durable for batch in waiting):
                for batch in waiting:
                    batch.is_suspect = True
            while waiting and waiting[0].is_durable:
                self._acknowledge(waiting.pop(0))
            if not waiting:
                break
            if self._stopping.wait(wait_s):
                return
            wait_s = min(2 * wait_s, self._settings.longest_retry_s)
            if any(is_defect) and len(waiting) < _MOST_AT_ODDS and (more := self._inbox.take(wait=False)).messages:
                waiting.append(self._begin(more))
        if self._paused_because:
            _LOG.info("readings are stored again")
        self._paused_because = ""

    def _begin(self, batch: Batch) -> Batch:
        self._counts["received"] += len(batch.messages)
        self._working_on += len(batch.messages)
        return batch

    def _try(self, batch: Batch) -> bool:
        """Try to make a batch durable, if it is not; True if something unexpected stood in the way."""
        if batch.is_durable:
            return False
        try:
            if batch.prepared is None:
                batch.prepared = self._pipeline.prepare(batch.messages, proven=batch.is_suspect)
            outcome = self._pipeline.commit(batch.prepared, proven=batch.is_suspect)
        except UnavailableError as error:
            self._pause(str(error))
            return False
        except Exception as error:  # a defect must lose nothing: the messages stay with the broker, and we say so
            if not self._paused_because:
                _LOG.exception("a batch of messages cannot be made durable")
            self._pause(f"unexpected {type(error).__name__}: {error}")
            return True
        batch.is_durable = True
        self._count(outcome)
        self._answer(outcome)
        return False

    def _acknowledge(self, batch: Batch) -> None:
        try:
            batch.acknowledge()
        except Exception:  # the broker sends them again to a new connection; repeats are absorbed
            _LOG.exception("acknowledgements could not be sent")
            self._overflowed = True

    def _answer(self, outcome: BatchOutcome) -> None:
        """Send what the senders should get; who asks for something again and again need not be told that it failed."""
        connection = self._connection
        if connection is not None:
            for command in outcome.commands:
                connection.publish(command.topic, command.payload)

    def _pause(self, why: str) -> None:
        if why != self._paused_because:
            _LOG.warning("paused, nothing is acknowledged and nothing is lost: %s", why)
        self._paused_because = why

    def _count(self, outcome: BatchOutcome) -> None:
        self._counts["stored"] += outcome.stored
        self._counts["duplicates"] += outcome.duplicates
        self._counts["dead"] += outcome.dead
        self._counts["letters"] += sum(outcome.by_reason.values())
        self._by_reason.update(outcome.by_reason)
