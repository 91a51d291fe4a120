"""Stores in memory that keep the promises of their ports and can be told to be away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from twin.errors import ConflictError, InputError, NotFoundError, UnavailableError
from twin.events import Event
from twin.gaps import Gap, GapState
from twin.ports import AppendResult, DeadLetter, Page, StoreStats
from twin.readings import Reading, Sensor
from twin.windows import Window


class Failing:
    """Raises `failure` from every call while one is set."""

    failure: Exception | None = None

    def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure


class MemoryReadings(Failing):
    """A `ReadingStore`. It refuses readings of the sensor `refuses`, as a store refuses what it cannot keep."""

    def __init__(self, *, refuses: str = "") -> None:
        self.kept: dict[tuple[str, datetime], Reading] = {}
        self._refuses = refuses

    def append(self, readings: Sequence[Reading]) -> AppendResult:
        self._answer()
        if any(reading.sensor_id == self._refuses for reading in readings):
            raise InputError(f"{self._refuses} cannot be kept")
        stored, duplicates, conflicts = 0, 0, []
        for reading in readings:
            first = self.kept.get(reading.key)
            if first is None:
                self.kept[reading.key] = reading
                stored += 1
            elif (first.raw_value, first.raw_unit) == (reading.raw_value, reading.raw_unit):
                duplicates += 1
            else:
                conflicts.append(reading)
        return AppendResult(stored, duplicates, tuple(conflicts))

    def requalify(self, readings: Sequence[Reading]) -> int:
        self._answer()
        changed = 0
        for reading in readings:
            held = self.kept.get(reading.key)
            judged = held and replace(held, value=reading.value, quality=reading.quality, reasons=reading.reasons)
            if judged is not None and judged != held:
                self.kept[reading.key] = judged
                changed += 1
        return changed

    def between(
        self,
        sensor_id: str,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        limit: int | None = None,
    ) -> list[Reading]:
        found = [r for r in self.kept.values() if r.sensor_id == sensor_id and start <= r.observed_at < end]
        known = [r for r in found if known_at is None or r.available_at <= known_at]
        return sorted(known, key=lambda r: r.observed_at)[:limit]

    def latest(
        self,
        sensor_ids: Sequence[str],
        *,
        at: datetime,
        known_at: datetime | None = None,
        trusted_only: bool = True,
    ) -> dict[str, Reading]:
        newest: dict[str, Reading] = {}
        for reading in sorted(self.kept.values(), key=lambda r: r.observed_at):
            known = known_at is None or reading.available_at <= known_at
            wanted = reading.sensor_id in sensor_ids and (reading.is_trusted or not trusted_only)
            if wanted and known and reading.observed_at <= at:
                newest[reading.sensor_id] = reading
        return newest

    def stats(self) -> StoreStats:
        return StoreStats(len(self.kept))

    def check(self) -> None:
        self._answer()

    def close(self) -> None:
        return


class MemoryLetters(Failing):
    """A `DeadLetters`."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, bytes], DeadLetter] = {}

    def bury(self, letters: Sequence[DeadLetter]) -> int:
        self._answer()
        before = len(self.kept)
        for letter in letters:
            key = (letter.topic, letter.payload)
            known = self.kept.get(key)
            self.kept[key] = (
                replace(known, times_seen=known.times_seen + 1)
                if known
                else replace(letter, letter_id=len(self.kept) + 1)
            )
        return len(self.kept) - before

    def buried_as(self, topic: str, payload: bytes) -> str | None:
        self._answer()
        known = self.kept.get((topic, payload))
        return known.reason if known else None

    def dead_letters(self, *, limit: int = 100, cursor: str | None = None) -> Page[DeadLetter]:
        return Page(tuple(self.kept.values())[:limit])

    def dead_letter(self, letter_id: int) -> DeadLetter:
        for letter in self.kept.values():
            if letter.letter_id == letter_id:
                return letter
        raise NotFoundError(f"no letter {letter_id}")

    def count_dead_letters(self) -> int:
        return len(self.kept)

    def exhume(self, letter_id: int, *, times_seen: int | None = None) -> None:
        letter = self.dead_letter(letter_id)
        if times_seen not in (None, letter.times_seen):
            raise ConflictError("seen again")
        del self.kept[(letter.topic, letter.payload)]


class MemorySensors(Failing):
    """A `SensorRegistry` that counts how often it is read."""

    def __init__(self, *sensors: Sensor) -> None:
        self.table = {sensor.sensor_id: sensor for sensor in sensors}
        self.times_read = 0

    def upsert_sensors(self, sensors: Sequence[Sensor]) -> None:
        self.table |= {sensor.sensor_id: sensor for sensor in sensors}

    def sensors(self) -> dict[str, Sensor]:
        self._answer()
        self.times_read += 1
        return dict(sorted(self.table.items()))


def away() -> UnavailableError:
    return UnavailableError("away for the test")


class MemoryNotebook(Failing):
    """What is noticed around the readings; events are kept one by one, not joined to episodes."""

    def __init__(self) -> None:
        self.noted_events: list[Event] = []
        self.noted_gaps: dict[tuple[str, datetime], Gap] = {}
        self.noted_windows: dict[int, Window] = {}
        self.noted_stale: dict[str, datetime] = {}

    def log_events(self, events: Sequence[Event]) -> int:
        self._answer()
        self.noted_events += events
        return len(events)

    def save_gaps(self, gaps: Sequence[Gap]) -> None:
        self._answer()
        self.noted_gaps.update((gap.key, gap) for gap in gaps)

    def open_gaps(self) -> list[Gap]:
        self._answer()
        return [gap for _, gap in sorted(self.noted_gaps.items()) if gap.state in (GapState.OPEN, GapState.REQUESTED)]

    def reopen(self, windows: Sequence[Window]) -> None:
        self._answer()
        for window in windows:
            window_id = len(self.noted_windows) + 1
            self.noted_windows[window_id] = replace(window, window_id=window_id)

    def reopened(self, limit: int = 1000) -> list[Window]:
        self._answer()
        return list(self.noted_windows.values())[:limit]

    def settle(self, windows: Sequence[Window]) -> None:
        self._answer()
        for window in windows:
            self.noted_windows.pop(window.window_id, None)

    def mark_stale(self, marks: Mapping[str, datetime]) -> None:
        self._answer()
        self.noted_stale.update(marks)

    def stale_marks(self) -> dict[str, datetime]:
        self._answer()
        return dict(self.noted_stale)
