"""History into the reading store: judged like what comes live, resumable, bad rows to the dead letters.

How far an import has come is kept after every batch under the digest of the file's content. Started again after a
crash it goes on there: what of the batch in between was stored already is absorbed as repeats, and what became
available "now" did so when the import first began. Once it has ended it is forgotten: importing the same file again
looks at every row again, which is what mended sensors need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from api.bootstrap import Offline
from api.gap_keeping import close_filled_gaps
from api.progress import Shower, rows_shown
from twin.ports import DeadLetter, ImportProgress, KnowsRepeats, ReadingStore
from twin.readings import Reading, Sensor

if TYPE_CHECKING:
    from ingest.files.readings import BadRow
    from ingest.quality.gate import QualityGate

BATCH = 5000
_CHUNK_BYTES = 1024 * 1024
NOTHING_YET = {"stored": 0, "duplicates": 0, "dead_letters": 0}


def import_readings(here: Offline, file: Path, *, progress: bool, restart: bool = False) -> dict[str, int]:
    """Import a file of readings from where it was left (with `restart` from its beginning); return what was counted.

    Raises:
        InputError: If the file is not acceptable: nothing was imported.
        UnavailableError: If a store is away or full: what was imported until then stays, start again to go on.
    """
    from ingest.files.readings import read_readings

    digest, lines = _looked_through(file)
    if restart:
        here.registry.forget_import(digest)
    begun = _begun(here, file, digest)
    sensors = here.registry.sensors()
    rows = read_readings(file, sensors, now=begun.begun_at, skip=begun.rows_done)
    with rows_shown(file.name, begun.rows_done, _rows_of(file, lines), shown=progress) as show:
        ended = _run(here, file, rows, begun, sensors, show)
    here.registry.forget_import(digest)
    counts = dict(ended.counts)
    if begun.rows_done:
        counts["rows_done_before"] = begun.rows_done
    return counts


def _looked_through(file: Path) -> tuple[str, int]:
    """Return the digest of the file's content and the number of its lines."""
    from twin.errors import InputError

    sha, lines = hashlib.sha256(), 0
    try:
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                sha.update(chunk)
                lines += chunk.count(b"\n")
    except OSError as error:
        raise InputError(f"cannot read {file.name}: {error.strerror}") from error
    return sha.hexdigest(), lines


def _rows_of(file: Path, lines: int) -> int:
    """Return about how many rows there are, for the bar."""
    if file.suffix.lower() != ".parquet":
        return max(lines - 1, 1)
    from pyarrow import parquet

    return int(parquet.read_metadata(file).num_rows)


def _begun(here: Offline, file: Path, digest: str) -> ImportProgress:
    name = file.name.encode(errors="replace").decode()
    now = here.clock.now()
    return here.registry.import_progress(digest) or ImportProgress(digest, name, 0, now, now, NOTHING_YET)


@dataclass(slots=True)
class _Batch:
    """Rows of the file that are made durable together."""

    good: list[Reading]
    bad: list[BadRow]

    @property
    def rows(self) -> int:
        return len(self.good) + len(self.bad)


def _run(
    here: Offline,
    file: Path,
    rows: Iterator[Reading | BadRow],
    progress: ImportProgress,
    sensors: Mapping[str, Sensor],
    show: Shower,
) -> ImportProgress:
    from ingest.quality.gate import QualityGate
    from ingest.quality.rejudge import Rejudge

    store = here.open_readings()
    gate = QualityGate(sensors, history=store)
    repeating = False
    for batch in _batches(rows):
        known = _leave_out_repeats(store, batch) if repeating else 0
        counts = _keep_batch(here, store, gate, file, batch, progress.begun_at)
        counts["duplicates"] += known
        repeating = counts["duplicates"] > 0
        progress = replace(
            progress,
            rows_done=progress.rows_done + batch.rows + known,
            updated_at=here.clock.now(),
            counts={name: progress.counts[name] + counts[name] for name in NOTHING_YET},
        )
        here.registry.save_import(progress)
        show(batch.rows + known)
    rejudge = Rejudge(store, here.registry)
    while rejudge.turn():
        pass
    close_filled_gaps(store, here.registry, here.clock)
    return progress


def _leave_out_repeats(store: ReadingStore, batch: _Batch) -> int:
    """Take out what is stored already: it has its verdict, and to judge it again late would look like news."""
    if not isinstance(store, KnowsRepeats):
        return 0
    known = store.repeats(batch.good)
    batch.good = [reading for reading, is_known in zip(batch.good, known, strict=True) if not is_known]
    return sum(known)


def _keep_batch(
    here: Offline, store: ReadingStore, gate: QualityGate, file: Path, batch: _Batch, now: datetime
) -> dict[str, int]:
    """Judge a batch and make it durable: first what is noted of it, then itself, then its letters."""
    from ingest.letters import letter_of_row
    from ingest.notes import keep

    judged = gate.judge(batch.good)
    notes = gate.take_notes()
    keep(notes, here.registry)
    result = store.append(judged)
    if notes.windows:
        here.registry.reopen(notes.windows)  # whoever judged them again before could not see these readings yet
    letters = [letter_of_row(file.name, x.line, x.payload, x.raw, x.reason, x.detail, now) for x in batch.bad]
    letters += [_conflict(reading, file, now) for reading in result.conflicts]
    if letters:
        here.registry.bury(letters)
    return {"stored": result.stored, "duplicates": result.duplicates, "dead_letters": len(letters)}


def _conflict(reading: Reading, file: Path, now: datetime) -> DeadLetter:
    from ingest.decoders.base import RawReading
    from ingest.letters import letter_of_row

    row = f"{reading.sensor_id},{reading.observed_at.isoformat()},{reading.raw_value!r},{reading.raw_unit}"
    raw = RawReading(reading.sensor_id, reading.observed_at, reading.raw_value, reading.raw_unit, reading.seq)
    sayable = raw if reading.available_at == now else None
    detail = "another value is stored for this sensor and moment; the first one stays"
    return letter_of_row(file.name, None, row.encode(), sayable, "conflict", detail, now)


def _batches(rows: Iterator[Reading | BadRow]) -> Iterator[_Batch]:
    while items := list(islice(rows, BATCH)):
        good = [item for item in items if isinstance(item, Reading)]
        yield _Batch(good, [item for item in items if not isinstance(item, Reading)])
