"""From messages to durable readings and dead letters. No broker in here: the same code serves MQTT, import and tests.

Two steps, so that a store that is away can be tried again without judging anything twice: `prepare` decodes and judges,
`commit` makes durable. Only when `commit` has returned may the messages be acknowledged.

What becomes of a message: every reading in it is stored (once, however often it comes) or becomes a dead letter with
its reason. A message with one reading is buried byte for byte. Of a message with several, the good ones are stored and
each bad one is buried by itself, written anew as a native single message on `h2/{gateway}/{sensor}`, so that it can be
published again alone. So: distinct published readings = stored + dead letters.

What meets a defect of ours that nobody thought of is set apart (`ingest.poison`): it becomes a letter and an event, and
the others go on.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import msgspec

from ingest.conversion import Converter
from ingest.decoders.base import Command, Decoded, RawReading, Refusal, UndecodableError
from ingest.decoders.native import item_alone, item_of
from ingest.mappings import Source, native_sources
from ingest.message import Message
from ingest.notes import Notebook, Notes, Observer, keep
from ingest.poison import apart, poison_event, told
from ingest.quality.gate import QualityGate
from ingest.quality.limits import QualityLimits
from ingest.sensors import SensorTable
from twin.errors import InputError, UnknownUnitError, WrongDimensionError
from twin.events import Event, EventKind, event
from twin.ports import AppendResult, DeadLetter, DeadLetters, ReadingStore, SensorRegistry
from twin.readings import Reading, Reason, Sensor

_LOG = logging.getLogger(__name__)
_REMEMBERED_TOPICS = 100_000


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch: readings stored, exact repeats absorbed, new dead letters, and letters by reason.

    `dead` counts distinct letters that were not there before; `by_reason` counts every one, repeats included.
    `commands` go to the senders now that all is durable.
    """

    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    by_reason: Mapping[str, int] = field(default_factory=dict)
    commands: tuple[Command, ...] = ()


class _Arrival(msgspec.Struct, frozen=True, gc=False):
    """A raw reading with the message it came in."""

    message: Message
    gateway: str
    many: bool
    raw: RawReading
    sensor_id: str

    def letter(self, reason: Refusal, detail: str) -> DeadLetter:
        """Return the dead letter of this reading."""
        topic, payload = self.message.topic, self.message.payload
        if self.many:
            item = item_of(self.raw, self.raw.observed_at or self.message.received_at)
            topic, payload = item_alone(self.gateway, self.sensor_id, item)
        return _letter(self.message.received_at, topic, payload, reason, detail)


@dataclass(slots=True)
class PreparedBatch:
    """Judged readings, letters and notes that wait to be made durable; remembers what is done."""

    readings: list[Reading] = field(default_factory=list)
    arrivals: list[_Arrival] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    notes_kept: bool = False
    windows_kept_again: bool = False
    poison: list[Event] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    appended: AppendResult | None = None


class Guard(Protocol):
    """Refuses what a sender must not send, before it can do harm."""

    def refuse_message(self, message: Message, decoded: Decoded) -> Refused | None:
        """Return why a whole message is refused, or None. It sees every message once, in order of receipt."""
        ...

    def refuse_reading(self, message: Message, gateway: str, sensor: Sensor) -> Refused | None:
        """Return why a gateway may not speak for a sensor, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something was refused, and the event it is."""

    reason: Refusal
    detail: str
    event: Event


class Pipeline:
    """Turns messages into readings and dead letters through the ports. Use it from one thread at a time.

    A batch must be committed before the next one is prepared. `shared` says that other ingesters take a part of the
    same messages, so that none of them sees a sensor's readings in order.
    """

    def __init__(
        self,
        *,
        readings: ReadingStore,
        dead_letters: DeadLetters,
        sensors: SensorRegistry,
        notebook: Notebook,
        mappings: Sequence[Source] | None = None,
        limits: QualityLimits | None = None,
        guard: Guard | None = None,
        observers: Sequence[Observer] = (),
        shared: bool = False,
    ) -> None:
        self._sources = native_sources() if mappings is None else tuple(mappings)
        self._source_of: dict[str, Source] = {}
        self._converter = Converter()
        self._readings = readings
        self._dead_letters = dead_letters
        self._notebook = notebook
        self._guard = guard
        self._observers = tuple(observers)
        self._sensors = SensorTable(sensors)
        self._gate = QualityGate(self._sensors, limits, history=readings, shared=shared)
        # Kept while the sensors cannot be read: the guard, and decoders with a memory, see every message once.
        self._decoded: tuple[Sequence[Message], PreparedBatch, list[_Arrival]] | None = None

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topic filters of all sources."""
        return tuple(source.template.subscription for source in self._sources)

    def process(self, messages: Sequence[Message]) -> BatchOutcome:
        """Decode, judge and make durable; when this returns, the messages may be acknowledged.

        Raises:
            UnavailableError: If a store is away or full: acknowledge nothing, try again.
        """
        return self.commit(self.prepare(messages))

    def prepare(self, messages: Sequence[Message], *, proven: bool = False) -> PreparedBatch:
        """Decode and judge. `proven` says that other messages go through: what fails here is poison.

        Raises:
            UnavailableError: If the sensors or the letters cannot be read: try again, nothing has happened.
            Exception: A defect that no single message is to blame for; the same list may be tried again.
        """
        if self._decoded is None or self._decoded[0] is not messages:
            batch = PreparedBatch()
            arrivals: list[_Arrival] = []
            for message in self._fresh(messages, batch):
                self._take(message, batch, arrivals)
            self._decoded = messages, batch, arrivals
        _, batch, arrivals = self._decoded
        self._sensors.refresh()
        if not {arrival.sensor_id for arrival in arrivals} <= self._sensors.all().keys():
            self._sensors.refresh(missing=True)
        self._decoded = messages, batch, []
        self._convert(arrivals, batch)
        self._judge(batch, proven=proven)
        self._decoded = None
        batch.notes.add(self._gate.take_notes())
        gateways = [arrival.gateway for arrival in batch.arrivals]
        for observer in self._observers:
            try:
                batch.notes.add(observer.observe(batch.readings, gateways))
            except Exception as error:  # what is not noticed is a pity; the readings are what counts
                _LOG.exception("an observer of the readings failed")
                batch.notes.events.append(poison_event(type(observer).__name__, messages[0].received_at, error))
        return batch

    def commit(self, batch: PreparedBatch, *, proven: bool = False) -> BatchOutcome:
        """Make a batch durable; may be called again with the same batch after an error.

        Raises:
            UnavailableError: If a store is away or full.
            Exception: A defect that no single reading is to blame for.
        """
        if not batch.notes_kept:
            keep(batch.notes, self._notebook)
            batch.notes_kept = True
        if batch.appended is None:
            batch.appended = self._append(batch, proven=proven)
            batch.letters += self._conflicts(batch)
        if batch.poison:
            self._notebook.log_events(batch.poison)
            batch.poison = []
        if batch.notes.windows and not batch.windows_kept_again:  # who looked at them before found nothing there yet
            self._notebook.reopen(batch.notes.windows)
            batch.windows_kept_again = True
        dead = self._bury(batch.letters) if batch.letters else 0
        by_reason = Counter(letter.reason for letter in batch.letters)
        return BatchOutcome(
            batch.appended.stored, batch.appended.duplicates, dead, by_reason, commands=tuple(batch.commands)
        )

    def _fresh(self, messages: Sequence[Message], batch: PreparedBatch) -> Sequence[Message]:
        """Return all messages but those that are dead letters already and come again: these stay dead.

        A guard that was restarted would let pass what it refused for its rate; the reading would be stored and dead.
        """
        if self._guard is None or not any(message.is_redelivery for message in messages):
            return messages
        fresh = []
        for message in messages:
            known = self._dead_letters.buried_as(message.topic, message.payload) if message.is_redelivery else None
            if known is None:
                fresh.append(message)
            else:
                batch.letters.append(_letter(message.received_at, message.topic, message.payload, known, ""))
        return fresh

    def _take(self, message: Message, batch: PreparedBatch, arrivals: list[_Arrival]) -> None:
        """Decode one message and append what came in it; what cannot be decoded, in whole or in part, becomes letters.

        The way of a plain message is short on purpose: it is taken tens of thousands of times a second.
        """
        try:
            if message.missing:
                raise UndecodableError(
                    f"too large: {message.missing:,} bytes at its end were not kept; raise TWIN_MQTT_LARGEST_PACKET_MB"
                )
            topic = message.topic
            source = self._source_of.get(topic) or self._find_source(topic)
            decoded = source.decoder.decode(topic, message.payload, message.received_at)
            refusal = self._guard.refuse_message(message, decoded) if self._guard is not None else None
            if refusal is not None:
                batch.notes.events.append(refusal.event)
                raise UndecodableError(refusal.detail, refusal.reason)
            readings = decoded.readings
            if source.sensors is None and readings and not (decoded.is_remarkable or batch.notes.stale):
                for raw in readings:
                    arrivals.append(_Arrival(message, decoded.gateway, decoded.many, raw, raw.name))
            else:
                arrivals += self._noted(message, source, decoded, batch)
        except UndecodableError as error:
            batch.letters.append(_letter_of(message, error.reason, str(error)))
            batch.commands += error.commands
            batch.notes.events += _forgery(message, error.reason, str(error))
        except Exception as error:  # a decoder from another package may raise anything; the message is kept
            _LOG.warning("a message on %r could not be decoded", message.topic, exc_info=True)
            detail = f"the decoder failed: {type(error).__name__}: {error}"
            batch.letters.append(_letter_of(message, Refusal.UNDECODABLE, detail))
            batch.poison.append(poison_event(message.topic, message.received_at, error))

    def _noted(self, message: Message, source: Source, decoded: Decoded, batch: PreparedBatch) -> list[_Arrival]:
        """Return the readings whose sensors are known by name, and take note of all else that a message held."""
        arrivals = [
            _Arrival(message, decoded.gateway, decoded.many, raw, sensor_id)
            for raw in decoded.readings
            if (sensor_id := source.sensor_id(raw.name)) is not None
        ]
        if arrivals and not (decoded.is_remarkable or batch.notes.stale):
            return arrivals
        refused = []
        for item in decoded.refused:
            sensor_id = None if item.name is None else source.sensor_id(item.name)
            topic, payload = item_alone(decoded.gateway, sensor_id, item.item)
            refused.append(_letter(message.received_at, topic, payload, item.reason, item.detail))
            batch.notes.events += _forgery(message, item.reason, item.detail)
        if not arrivals and not refused and not decoded.is_news:
            raise UndecodableError("the message holds no reading of a known place", Refusal.EMPTY)
        batch.letters += refused
        batch.commands += decoded.commands
        batch.notes.events += [
            replace(told, subject=_printable(told.subject), detail=_printable(told.detail)) for told in decoded.events
        ]
        for arrival in arrivals:  # messages that come together may share their time: whoever speaks again is alive
            if (
                batch.notes.stale.get(arrival.sensor_id) == message.received_at
                and Reason.HISTORICAL not in arrival.raw.reasons
            ):
                del batch.notes.stale[arrival.sensor_id]
        stale = (source.sensor_id(name) for name in decoded.stale)
        batch.notes.stale.update((sensor_id, message.received_at) for sensor_id in stale if sensor_id is not None)
        return arrivals

    def _find_source(self, topic: str) -> Source:
        source = next((source for source in self._sources if source.template.match(topic) is not None), None)
        if source is None:
            raise UndecodableError("no source is configured for this topic", Refusal.NO_DECODER)
        if len(self._source_of) >= _REMEMBERED_TOPICS:
            self._source_of.clear()
        self._source_of[topic] = source
        return source

    def _convert(self, arrivals: Iterable[_Arrival], batch: PreparedBatch) -> None:
        """Make readings of those that a known sensor's own gateway sent, and letters of the others."""
        sensors, guard, in_si = self._sensors.all(), self._guard, self._converter.reading
        for arrival in arrivals:
            sensor = sensors.get(arrival.sensor_id)
            if sensor is None:
                detail = f"sensor {arrival.sensor_id!r} is not registered; import it, then requeue this letter"
                batch.letters.append(arrival.letter(Refusal.UNKNOWN_SENSOR, detail))
                continue
            message = arrival.message
            refusal = guard.refuse_reading(message, arrival.gateway, sensor) if guard is not None else None
            if refusal is not None:
                batch.notes.events.append(refusal.event)
                batch.letters.append(arrival.letter(refusal.reason, refusal.detail))
                continue
            try:
                reading = in_si(sensor, arrival.raw, message.received_at)
            except InputError as error:
                batch.letters.append(arrival.letter(_refusal_of(error), str(error)))
            except Exception as error:
                batch.letters.append(arrival.letter(Refusal.UNDECODABLE, told(error)))
                batch.poison.append(poison_event(message.topic, message.received_at, error))
            else:
                batch.readings.append(reading)
                batch.arrivals.append(arrival)

    def _judge(self, batch: PreparedBatch, *, proven: bool) -> None:
        """Let the gate judge; what it cannot judge is set apart."""

        def judge(some: Sequence[int]) -> list[Reading]:
            readings = [batch.readings[place] for place in some]
            return self._gate.judge(readings, [batch.arrivals[place].gateway for place in some])

        judged, failures = apart(range(len(batch.readings)), judge, proven=proven)
        batch.readings = [reading for part in judged for reading in part]
        if failures:
            self._set_apart(batch, failures)
            batch.arrivals = [arrival for place, arrival in enumerate(batch.arrivals) if place not in failures]

    def _append(self, batch: PreparedBatch, *, proven: bool) -> AppendResult:
        """Store what the store takes, bury what it refuses. Repeats after an interruption are absorbed."""
        if not batch.readings:
            return AppendResult(0, 0)
        results, failures = apart(batch.readings, self._readings.append, proven=proven)
        self._set_apart(batch, failures)
        return AppendResult(
            sum(result.stored for result in results),
            sum(result.duplicates for result in results),
            tuple(reading for result in results for reading in result.conflicts),
        )

    def _set_apart(self, batch: PreparedBatch, failures: Mapping[int, Exception]) -> None:
        for place, error in failures.items():
            arrival = batch.arrivals[place]
            if isinstance(error, InputError):
                batch.letters.append(arrival.letter(Refusal.REFUSED_BY_STORE, str(error)))
                continue
            _LOG.error("a reading of %r on %r is set apart", arrival.sensor_id, arrival.message.topic, exc_info=error)
            batch.letters.append(arrival.letter(Refusal.UNDECODABLE, told(error)))
            batch.poison.append(poison_event(arrival.message.topic, arrival.message.received_at, error))

    def _bury(self, letters: list[DeadLetter]) -> int:
        """Bury letters; one that cannot be kept as it is loses what is special about its topic and detail."""
        results, failures = apart(letters, self._dead_letters.bury)
        plain = [
            replace(letters[place], topic=ascii(letters[place].topic), detail=told(error)[:1000])
            for place, error in failures.items()
        ]
        return sum(results) + (self._dead_letters.bury(plain) if plain else 0)

    def _conflicts(self, batch: PreparedBatch) -> Iterable[DeadLetter]:
        if batch.appended is None or not batch.appended.conflicts:
            return []
        arrival_of = {
            (*reading.key, reading.raw_value, reading.raw_unit): arrival
            for reading, arrival in zip(batch.readings, batch.arrivals, strict=True)
        }
        detail = "another value is stored for this sensor and time; the first one stays"
        return [
            arrival_of[(*reading.key, reading.raw_value, reading.raw_unit)].letter(Refusal.CONFLICT, detail)
            for reading in batch.appended.conflicts
        ]


def _refusal_of(error: InputError) -> Refusal:
    if isinstance(error, UnknownUnitError):
        return Refusal.UNKNOWN_UNIT
    return Refusal.WRONG_DIMENSION if isinstance(error, WrongDimensionError) else Refusal.NOT_FINITE


def _forgery(message: Message, reason: Refusal, detail: str) -> list[Event]:
    """Return the security event of what a decoder found to be forged."""
    if reason is not Refusal.FORGED_IDENTITY:
        return []
    return [event(EventKind.FORGED_IDENTITY, message.topic, message.received_at, detail)]


def _letter_of(message: Message, reason: Refusal, detail: str) -> DeadLetter:
    return _letter(message.received_at, message.topic, message.payload, reason, detail)


def _letter(received_at: datetime, topic: str, payload: bytes, reason: str, detail: str) -> DeadLetter:
    return DeadLetter(0, received_at, topic, payload, str(reason), _printable(detail)[:1000])


def _printable(text: str) -> str:
    """Return the text as every store can keep it."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
