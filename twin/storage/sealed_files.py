"""Sealed days as Parquet: one file holds all readings of one UTC day, in order of sensor and time.

A file is never changed. It is complete before its name is known: written under another name, brought to the disk, read
back and compared. Its digest is the SHA-256 of its readings as lines of text, so that anybody can check it with any
tool that reads Parquet:

    sensor_id TAB observed_at TAB available_at TAB value TAB unit TAB raw_value TAB raw_unit TAB quality TAB reasons TAB
    seq NEWLINE

Times are microseconds since 1970, numbers the shortest text that reads back exactly (Python's `repr`), no seq is empty.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from twin.errors import ConfigError, UnavailableError
from twin.ports import SealedFile
from twin.readings import Quality, Reading
from twin.storage.readings_rows import from_microseconds, text_to_reasons
from twin.storage.rollup_sums import DAY_US

_ROWS_IN_GROUP = 20_000
_MOST_INDEXES = 400
_PART = ".part"


class SealedRow(NamedTuple):
    """A reading as it stands in a file: times in microseconds, reasons as JSON or nothing."""

    sensor_id: str
    observed_at: int
    available_at: int
    value: float
    unit: str
    raw_value: float
    raw_unit: str
    quality: str
    reasons: str
    seq: int | None

    @property
    def reading(self) -> Reading:
        """The reading itself."""
        return Reading(
            sensor_id=self.sensor_id,
            observed_at=from_microseconds(self.observed_at),
            available_at=from_microseconds(self.available_at),
            value=self.value,
            unit=self.unit,
            raw_value=self.raw_value,
            raw_unit=self.raw_unit,
            quality=Quality(self.quality),
            reasons=text_to_reasons(self.reasons),
            seq=self.seq,
        )

    @property
    def line(self) -> str:
        """The line of text that the digest is made of."""
        seq = "" if self.seq is None else str(self.seq)
        numbers = (str(self.observed_at), str(self.available_at), repr(self.value), self.unit, repr(self.raw_value))
        return "\t".join((self.sensor_id, *numbers, self.raw_unit, self.quality, self.reasons, seq)) + "\n"


class SealedFiles:
    """The folder of sealed days; made when the first is written. Reading needs pyarrow, and so does writing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._indexes: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def write(self, day: int, rows: Iterable[SealedRow]) -> SealedFile:
        """Write the rows of the day that begins at `day` (microseconds), and read them back.

        Raises:
            ConfigError: If pyarrow is not installed.
            UnavailableError: If the disk does not give back what was written, or cannot be written.
        """
        parquet = _parquet()
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            half = self.folder / f"{_name_of(day)}{_PART}"
            meant = _Tally()
            with parquet.ParquetWriter(half, _schema(), compression="zstd") as writer:
                for group in _groups(meant.counting(rows)):
                    writer.write_table(_table(group), row_group_size=_ROWS_IN_GROUP)
            _bring_to_disk(half)
            found = _Tally()
            for group_number in range(parquet.ParquetFile(half).num_row_groups):
                found.add(_rows(parquet.ParquetFile(half).read_row_group(group_number)))
            if (found.count, found.digest) != (meant.count, meant.digest):
                raise UnavailableError(
                    f"{half} reads back {found.count} readings with digest {found.digest[:12]}, written were "
                    f"{meant.count} with {meant.digest[:12]}: check the disk; nothing was removed from the store"
                )
            name = f"{_name_of(day)}.{meant.digest[:16]}.parquet"
            half.rename(self.folder / name)
            _bring_to_disk(self.folder)
            return SealedFile(name, meant.count, meant.digest, (self.folder / name).stat().st_size)
        except OSError as error:
            raise UnavailableError(f"a day cannot be sealed in {self.folder}: {error}") from error

    def read(self, name: str, sensor_ids: Collection[str], start: int, end: int) -> Iterator[SealedRow]:
        """Yield the rows of some sensors with start <= observed_at < end (microseconds).

        Raises:
            ConfigError: If pyarrow is not installed.
            UnavailableError: If the file is lacking or damaged.
        """
        import pyarrow
        from pyarrow import compute

        wanted = sorted(sensor_ids)
        for table in self._groups_with(name, wanted):
            is_wanted = compute.is_in(table["sensor_id"], pyarrow.array(wanted, pyarrow.string()))
            for row in _rows(table.filter(is_wanted)):
                if start <= row.observed_at < end:
                    yield row

    def verify(self, file: SealedFile) -> None:
        """Return if the file holds what it did when it was sealed.

        Raises:
            UnavailableError: If it does not.
        """
        found = _Tally()
        for table in self._groups_with(file.name, None):
            found.add(_rows(table))
        if (found.count, found.digest) != (file.readings, file.digest):
            raise UnavailableError(f"{self.folder / file.name} is not what was sealed: restore it from a backup")

    def unknown(self, known: Collection[str], *, older_than_s: float, now_s: float) -> list[Path]:
        """Return files that nobody refers to (any more), touched last so long ago that nobody reads them either."""
        if not self.folder.is_dir():
            return []
        files = [path for path in self.folder.iterdir() if path.name not in known]
        ours = [path for path in files if path.name.endswith((".parquet", _PART))]
        return [path for path in ours if path.stat().st_mtime < now_s - older_than_s]

    def retire(self, name: str) -> None:
        """Let a file that nobody refers to any more stay a while for those that read it right now."""
        (self.folder / name).touch()

    def _groups_with(self, name: str, wanted: Sequence[str] | None) -> Iterator[Any]:
        parquet = _parquet()
        import pyarrow

        path = self.folder / name
        try:
            with parquet.ParquetFile(path, metadata=self._index(name)) as file:
                for number in range(file.num_row_groups):
                    if wanted is None or _may_hold(file.metadata.row_group(number), wanted):
                        yield file.read_row_group(number, use_threads=False)
        except (OSError, pyarrow.ArrowException) as error:
            raise UnavailableError(
                f"sealed readings cannot be read from {path} ({error}): restore the file from a backup"
            ) from error

    def _index(self, name: str) -> Any:
        """Return the file's own index; a file never changes, so it is read once."""
        with self._lock:
            if name in self._indexes:
                self._indexes.move_to_end(name)
                return self._indexes[name]
        index = _parquet().read_metadata(self.folder / name)
        with self._lock:
            self._indexes[name] = index
            while len(self._indexes) > _MOST_INDEXES:
                self._indexes.popitem(last=False)
        return index


class _Tally:
    """Counts rows and digests them as they pass."""

    def __init__(self) -> None:
        self.count = 0
        self._sha = hashlib.sha256()

    def counting(self, rows: Iterable[SealedRow]) -> Iterator[SealedRow]:
        for row in rows:
            self.count += 1
            self._sha.update(row.line.encode())
            yield row

    def add(self, rows: Iterable[SealedRow]) -> None:
        for _ in self.counting(rows):
            pass

    @property
    def digest(self) -> str:
        return self._sha.hexdigest()


def day_name(day: int) -> str:
    """Return the date of the UTC day that begins at `day` (microseconds), as in file names."""
    return _name_of(day)


def _name_of(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day // DAY_US)).isoformat()


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError("sealed days are Parquet and need pyarrow: pip install pyarrow") from error
    return parquet


def _schema() -> Any:
    import pyarrow

    moment = pyarrow.timestamp("us", tz="UTC")
    text, number = pyarrow.string(), pyarrow.float64()
    types = (text, moment, moment, number, text, number, text, text, text, pyarrow.int64())
    return pyarrow.schema(
        [pyarrow.field(name, kind, name == "seq") for name, kind in zip(SealedRow._fields, types, strict=True)]
    )


def _groups(rows: Iterable[SealedRow]) -> Iterator[list[SealedRow]]:
    iterator = iter(rows)
    while group := list(islice(iterator, _ROWS_IN_GROUP)):
        yield group


def _table(rows: Sequence[SealedRow]) -> Any:
    import pyarrow

    schema = _schema()
    columns = zip(*rows, strict=True)
    return pyarrow.table(
        [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _rows(table: Any) -> Iterator[SealedRow]:
    import pyarrow

    columns = [
        (column.cast(pyarrow.int64()) if pyarrow.types.is_timestamp(column.type) else column).to_pylist()
        for column in table.columns
    ]
    return map(SealedRow._make, zip(*columns, strict=True))


def _may_hold(group: Any, wanted: Sequence[str]) -> bool:
    """Whether one of the sensors (sorted) may be in a group of rows, by the group's first and last sensor."""
    statistics = group.column(0).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return any(statistics.min <= sensor_id <= statistics.max for sensor_id in wanted)


def _bring_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
