"""A gateway: takes readings into its outbox and sees to it that the broker gets every one of them.

```python
with Outbox(Path("outbox.db"), SystemClock()) as outbox, Gateway(broker_url, "gw1", outbox) as gateway:
    gateway.put(rows)           # returns when they are on the disk
    gateway.flush(30.0)         # waits for the broker, if somebody must know
```

Readings go out in the order in which they were put, in batches on `h2/{gateway_id}` or singly, with QoS 1. They are
sent until acknowledged, also after a crash; a reading may arrive twice, which the ingester absorbs, never not at all.
What is asked for on `h2/{gateway_id}/backfill` is sent again, after what is new.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from ingest.backfill import decode_request
from ingest.decoders.base import UndecodableError
from ingest.decoders.native import backfill_topic, batch_topic, encode_batch, fits_topic, item_alone
from ingest.gateway_link import Bell, Link
from ingest.mqtt_settings import MqttSettings, Protocol
from ingest.outbox import Kept, Outbox, OutboxFullError, Row, Taken
from twin.clock import format_time
from twin.errors import ConfigError, TwinError, UnavailableError

_LOG = logging.getLogger(__name__)
_BATCH = 500
_BATCHES_UNDER_WAY = 20
_SINGLES_UNDER_WAY = 1_000
_IDLE_S = 0.5
_LINGER_S = 0.05
"""So long a batch waits for company: a gateway must not send so many that an ingester takes it for one gone mad."""
_SILENT_S = 60.0
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """How a gateway is. Counts are readings since its start; `waiting` is all that the broker never had.

    `refused` readings found the outbox full. `backfill_refused` says why it cannot be asked for anything.
    """

    gateway_id: str
    connected: bool
    protocol: str
    taken: int
    repeats: int
    refused: int
    acknowledged: int
    waiting: int
    kept: int
    outbox_bytes: int
    asked_again: int
    trouble: str
    backfill_refused: str


class Gateway:
    """Sends what its outbox holds until it is stopped. Use it as a context manager."""

    def __init__(self, broker_url: str, gateway_id: str, outbox: Outbox, *, singles: bool = False) -> None:
        if not fits_topic(gateway_id):
            raise ConfigError(f"gateway_id {gateway_id!r}: 1 to 256 characters without / + #")
        self._settings = MqttSettings.from_url(broker_url, client_id=f"h2twin-gateway-{gateway_id}"[:256])
        self._gateway_id = gateway_id
        self._outbox = outbox
        self._singles = singles
        self._window = _SINGLES_UNDER_WAY if singles else _BATCHES_UNDER_WAY
        self._mqtt5 = self._settings.protocol is not Protocol.V311
        self._bell = Bell()
        self._stopping = threading.Event()
        self._progress = threading.Condition()
        self._taken = self._repeats = self._refused = self._acknowledged = self._asked_again = 0
        self._trouble = ""
        self._under_way: dict[int, Sequence[Kept]] = {}
        self._handed_over = 0
        self._moved_at_s = self._sent_at_s = 0.0
        self._link = self._new_link()
        self._thread = threading.Thread(target=self._run, name=f"gateway-{gateway_id}", daemon=True)

    def __enter__(self) -> Gateway:
        """Begin to send; a broker that is away is waited for."""
        self._link.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sending; what is unacknowledged stays in the outbox."""
        self._stopping.set()
        self._bell.ring()
        self._thread.join(10.0)
        self._link.stop()
        self._note_acknowledged()

    def put(self, rows: Sequence[Row]) -> Taken:
        """Take readings, all or none; when this returns they are on the disk and will be sent.

        Raises:
            OutboxFullError: If there is no room; nothing was taken.
            InputError: If one of them can be no reading.
        """
        try:
            result = self._outbox.put(rows)
        except OutboxFullError:
            self._refused += len(rows)
            raise
        self._taken += result.taken
        self._repeats += result.repeats
        self._bell.ring()
        return result

    def flush(self, timeout_s: float) -> int:
        """Wait until the broker has every reading, or the time is over; return how many it does not have yet."""
        with self._progress:
            self._progress.wait_for(lambda: self._outbox.unsent == 0, timeout_s)
        return self._outbox.unsent

    def status(self) -> GatewayStatus:
        """Return how the gateway is right now."""
        return GatewayStatus(
            gateway_id=self._gateway_id,
            connected=self._link.connected,
            protocol=str(Protocol.V5 if self._mqtt5 else Protocol.V311),
            taken=self._taken,
            repeats=self._repeats,
            refused=self._refused,
            acknowledged=self._acknowledged,
            waiting=self._outbox.unsent,
            kept=self._outbox.kept(),
            outbox_bytes=self._outbox.bytes_used(),
            asked_again=self._asked_again,
            trouble=self._trouble or self._link.refused or self._link.trouble,
            backfill_refused=self._link.deaf,
        )

    def _new_link(self) -> Link:
        topic = backfill_topic(self._gateway_id)
        return Link(self._settings, topic, mqtt5=self._mqtt5, window=self._window, wake=self._bell.ring)

    def _run(self) -> None:
        pause_s = 1.0
        while not self._stopping.is_set():
            try:
                self._turn()
                self._trouble = ""
                pause_s = 1.0
            except Exception as error:  # a defect of ours must not end the thread: nothing would be sent any more
                if not isinstance(error, TwinError):
                    _LOG.exception("the gateway could not send")
                elif str(error) != self._trouble:
                    _LOG.warning("%s", error)
                self._trouble = str(error)
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                self._begin_anew()
            else:
                self._bell.sleep(_IDLE_S)
                if not self._singles:
                    self._stopping.wait(self._sent_at_s + _LINGER_S - time.monotonic())

    def _turn(self) -> None:
        """Note what the broker has, hear what it asks for, and hand over what there is room for."""
        self._note_acknowledged()
        self._hear_requests()
        if self._link.is_too_new and self._settings.protocol is Protocol.AUTO:
            self._mqtt5 = False
            self._begin_anew()
        if self._link.refused:
            raise UnavailableError(self._link.refused)
        if self._under_way and self._link.connected and time.monotonic() - self._moved_at_s > _SILENT_S:
            raise UnavailableError(f"the broker {self._settings.address} has acknowledged nothing for {_SILENT_S:g} s")
        if self._link.connected:
            self._hand_over()

    def _hand_over(self) -> None:
        room = self._link.window - len(self._under_way)
        if room <= 0:
            return
        each = 1 if self._singles else _BATCH
        fresh = self._outbox.waiting(after=self._handed_over, limit=room * each)
        parts = list(_parts(fresh, each))
        if len(parts) < room:
            parts += _parts(self._again((room - len(parts)) * each), each)
        if not self._under_way:
            self._moved_at_s = time.monotonic()
        for part in parts:
            self._under_way[self._link.send(*self._message(part))] = part
            self._sent_at_s = time.monotonic()
        if fresh:
            self._handed_over = fresh[-1].position

    def _again(self, most: int) -> list[Kept]:
        """Return readings that were asked for again and are not under way."""
        under_way = {kept.position for part in self._under_way.values() for kept in part}
        asked = self._outbox.asked_again(limit=most + len(under_way))
        return [kept for kept in asked if kept.position not in under_way][:most]

    def _message(self, part: Sequence[Kept]) -> tuple[str, bytes]:
        if self._singles:
            return item_alone(self._gateway_id, part[0].sensor_id, _item(part[0]))
        return batch_topic(self._gateway_id), encode_batch({"sensor_id": k.sensor_id, **_item(k)} for k in part)

    def _note_acknowledged(self) -> None:
        parts = []
        while self._link.acknowledged:
            parts.append(self._under_way.pop(self._link.acknowledged.popleft(), ()))
        positions = [kept.position for part in parts for kept in part]
        if not positions:
            return
        self._moved_at_s = time.monotonic()
        self._outbox.acknowledge(positions)
        self._acknowledged += len(positions)
        with self._progress:
            self._progress.notify_all()

    def _hear_requests(self) -> None:
        while self._link.requests:
            try:
                wanted = decode_request(self._link.requests.popleft())
            except UndecodableError as error:
                _LOG.warning("a request on %s is not understood: %s", backfill_topic(self._gateway_id), error)
                continue
            self._asked_again += sum(self._outbox.ask_again(one.sensor_id, one.after, one.before) for one in wanted)

    def _begin_anew(self) -> None:
        """Take a new link and send again all that the outbox knows to be unacknowledged."""
        self._link.stop()
        self._under_way = {}
        self._handed_over = 0
        self._link = self._new_link()
        self._link.start()


def _parts(kept: Sequence[Kept], size: int) -> Iterator[Sequence[Kept]]:
    for start in range(0, len(kept), size):
        yield kept[start : start + size]


def _item(kept: Kept) -> dict[str, object]:
    item: dict[str, object] = {"observed_at": format_time(kept.observed_at), "value": kept.value}
    if kept.unit:
        item["unit"] = kept.unit
    return item if kept.seq is None else {**item, "seq": kept.seq}
