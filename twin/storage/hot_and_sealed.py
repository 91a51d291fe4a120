"""Readings across the hot table and the sealed days, as if there were one table.

A hot row stands over the sealed one of the same key: it is the same reading, judged anew since its day was sealed.
Everything here runs inside a transaction, so the hot rows and the list of sealed days are of one moment; the files
never change. Where nothing of a range is sealed, the hot table is asked and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from twin.readings import TRUSTED, Reading
from twin.storage import readings_table as table
from twin.storage import sealed_table
from twin.storage.readings_file import Session
from twin.storage.readings_rows import to_microseconds
from twin.storage.rollup_sums import DAY_US
from twin.storage.rollup_table import day_of
from twin.storage.sealed_files import SealedFiles

Key = tuple[str, datetime]


class HotAndSealed:
    """The questions of `twin.ports.ReadingStore`, asked of both."""

    def __init__(self, files: SealedFiles) -> None:
        self._files = files

    def between(
        self,
        session: Session,
        sensor_id: str,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None,
        limit: int | None,
    ) -> list[Reading]:
        """Return readings with start <= observed_at < end in order of time; as `ReadingStore.between`."""
        hot = table.between(session, sensor_id, start, end, known_at=known_at, limit=limit)
        series = table.series_of(session, sensor_id)
        bounds = to_microseconds(start), to_microseconds(end)
        days = [] if series is None else sealed_table.days_with(session, series, *bounds)
        if not days:
            return hot
        sealed: list[Reading] = []
        for _, name in days:
            rows = self._files.read(name, [sensor_id], *bounds)
            sealed += (r for r in (row.reading for row in rows) if known_at is None or r.available_at <= known_at)
            if limit is not None and len(sealed) >= limit:
                break  # what comes later lies behind the limit
        return _merged(sealed, hot)[:limit]

    def latest(
        self,
        session: Session,
        sensor_ids: Iterable[str],
        *,
        at: datetime,
        known_at: datetime | None,
        trusted_only: bool,
    ) -> dict[str, Reading]:
        """Return each sensor's newest reading with observed_at <= at; as `ReadingStore.latest`."""
        asked = list(sensor_ids)
        found = table.latest(session, asked, at=at, known_at=known_at, trusted_only=trusted_only)
        if sealed_table.bounds(session).sealings:
            for sensor_id in asked:
                newest = self._newest_sealed(session, sensor_id, found.get(sensor_id), at, known_at, trusted_only)
                if newest is not None:
                    found[sensor_id] = newest
        return found

    def figures(self, session: Session, series: int, start: int, end: int) -> list[tuple[int, float, int]]:
        """Return (time, value, whether it is trusted) of a series with start <= time < end, in order of time."""
        hot = table.figures(session, series, start, end)
        days = sealed_table.days_with(session, series, start, end)
        if not days:
            return hot
        sensor_id = table.sensor_of(session, series)
        rows = (row for _, name in days for row in self._files.read(name, [sensor_id], start, end))
        both = {row.observed_at: (row.observed_at, row.value, int(row.quality in TRUSTED)) for row in rows}
        both.update((row[0], row) for row in hot)
        return [both[time] for time in sorted(both)]

    def sealed(self, session: Session, keys: Collection[Key]) -> dict[Key, Reading]:
        """Return those of the keys that a sealed day holds, as they stand there."""
        days: dict[int, set[Key]] = defaultdict(set)
        for key in keys:
            days[day_of(to_microseconds(key[1]))].add(key)
        held = {}
        for day, wanted in days.items():
            file = sealed_table.file_of(session, day)
            if file is None:
                continue
            for row in self._files.read(file.name, {sensor_id for sensor_id, _ in wanted}, day, day + DAY_US):
                reading = row.reading
                if reading.key in wanted:
                    held[reading.key] = reading
        return held

    def _newest_sealed(
        self,
        session: Session,
        sensor_id: str,
        hot: Reading | None,
        at: datetime,
        known_at: datetime | None,
        trusted_only: bool,
    ) -> Reading | None:
        """Return what a sealed day holds that is newer than the newest hot reading, if any does."""
        series = table.series_of(session, sensor_id)
        if series is None:
            return None
        moment = to_microseconds(at)
        newer_than = None if hot is None else to_microseconds(hot.observed_at)
        for day, name in sealed_table.days_back(session, series, moment, trusted_only=trusted_only):
            if newer_than is not None and day + DAY_US <= newer_than:
                return None
            over = set(table.times(session, series, day, day + DAY_US))  # judged anew since: the hot row counts
            rows = [r for r in self._files.read(name, [sensor_id], day, moment + 1) if r.observed_at not in over]
            for reading in (row.reading for row in reversed(rows)):
                is_known = known_at is None or reading.available_at <= known_at
                if is_known and (reading.is_trusted or not trusted_only):
                    return reading if hot is None or reading.observed_at > hot.observed_at else None
        return None


def _merged(sealed: Iterable[Reading], hot: Iterable[Reading]) -> list[Reading]:
    """Join by key, hot ones first in rank, in order of time."""
    readings = {reading.observed_at: reading for reading in sealed}
    readings.update((reading.observed_at, reading) for reading in hot)
    return [readings[moment] for moment in sorted(readings)]
