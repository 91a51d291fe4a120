"""Ways to break the ingester that a fault run must find: each is a mistake that somebody could make.

`FAULTS_SABOTAGE` names some for `faults.impatient_service`, with commas between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from ingest.inbox import Batch
from ingest.mqtt import MqttIngester
from ingest.pipeline import BatchOutcome, Pipeline, PreparedBatch
from ingest.wire.connection import Connection
from ingest.wire.packets import Publish
from twin.ports import AppendResult
from twin.readings import Reading
from twin.storage.sqlite_readings import SqliteReadings


def acknowledge_first() -> None:
    """Acknowledge what has come before it is stored."""
    take = MqttIngester._take

    def take_hastily(ingester: MqttIngester, connection: Connection, published: Sequence[Publish]) -> None:
        take(ingester, connection, published)
        connection.acknowledge([message.packet_id for message in published if message.packet_id])

    MqttIngester._take = take_hastily  # type: ignore[method-assign]
    Batch.acknowledge = lambda _: None  # type: ignore[method-assign]


def lose_a_reading() -> None:
    """Forget the last reading of each batch; a quick machine may give a life no more than one batch."""
    commit = Pipeline.commit

    def commit_most(pipeline: Pipeline, batch: PreparedBatch, *, proven: bool = False) -> BatchOutcome:
        if len(batch.readings) > 1 and batch.appended is None:
            batch.readings.pop()
            batch.arrivals.pop()
        return commit(pipeline, batch, proven=proven)

    Pipeline.commit = commit_most  # type: ignore[method-assign]


def store_twice() -> None:
    """Store a second row of each reading, a microsecond later."""
    append = SqliteReadings.append

    def append_twice(store: SqliteReadings, readings: Sequence[Reading]) -> AppendResult:
        again = [replace(one, observed_at=one.observed_at + timedelta(microseconds=1)) for one in readings]
        append(store, again)
        return append(store, readings)

    SqliteReadings.append = append_twice  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (acknowledge_first, lose_a_reading, store_twice)
}
