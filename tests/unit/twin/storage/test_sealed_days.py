"""Sealing: what can go wrong on the way, and that nothing is lost or counted twice by it.

That sealed readings answer like hot ones is shown by the contract suite of the stores.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from reading_builders import NOON, a_reading, after

from twin.errors import ConfigError, ConflictError, InputError, UnavailableError
from twin.ports import AppendResult, SealedFile
from twin.readings import Quality, Reading
from twin.rollups import Every
from twin.storage import sealed_files
from twin.storage.sealed_files import SealedFiles, SealedRow
from twin.storage.sqlite_readings import SqliteReadings

pytest.importorskip("pyarrow")

DAY = timedelta(days=1)
MIDNIGHT = NOON.replace(hour=0)
THREE_DAYS = [
    a_reading(sensor_id, at_s=hour * 3600, raw_value=hour / 7, quality=quality, reasons=reasons, seq=hour)
    for sensor_id, quality, reasons in (
        ("pressure-1", Quality.GOOD, ()),
        ("água-2", Quality.SUSPECT, ("late", "spike")),
    )
    for hour in range(-30, 30)
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteReadings]:
    store = SqliteReadings(tmp_path / "readings.db")
    store.append(THREE_DAYS)
    yield store
    store.close()


def everything(store: SqliteReadings) -> list[Reading]:
    year = timedelta(days=365)
    return [r for name in ("pressure-1", "água-2") for r in store.between(name, NOON - year, NOON + year)]


def test_whole_days_are_sealed_and_the_rest_stays_hot(store: SqliteReadings) -> None:
    heard = []
    sealed = store.seal(NOON + DAY, now=NOON, told=lambda *counts: heard.append(counts))
    assert list(store.sealed_files()) == [MIDNIGHT - DAY, MIDNIGHT]
    assert [file.readings for file in sealed] == [2 * 18, 2 * 24]
    assert heard == [(1, 2), (2, 2)]
    assert everything(store) == THREE_DAYS
    assert store.stats().readings == len(THREE_DAYS)
    assert store.verify_sealed() == 2
    assert store.seal(NOON + DAY, now=NOON) == []


def test_the_digest_is_of_the_readings_as_text(store: SqliteReadings, tmp_path: Path) -> None:
    """Worked out from the description alone, by way of another reader of Parquet's columns."""
    import pandas

    store.seal(NOON, now=NOON)
    file = store.sealed_files()[MIDNIGHT - DAY]
    table = pandas.read_parquet(tmp_path / "sealed" / file.name)
    lines = []
    for row in table.itertuples(index=False):
        times = [
            str(int(moment.value) // 1000) for moment in (row.observed_at.as_unit("ns"), row.available_at.as_unit("ns"))
        ]
        cells = [row.sensor_id, *times, repr(float(row.value)), row.unit, repr(float(row.raw_value)), row.raw_unit]
        lines.append("\t".join([*cells, row.quality, row.reasons, str(int(row.seq))]) + "\n")
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == file.digest
    assert len(lines) == file.readings == 36


def test_a_reading_that_comes_while_its_day_is_sealed_is_not_lost(
    store: SqliteReadings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    sealing     reads the day, writes the file ............ notes it, deletes the rows: must not, the day changed
    ingest                              a late reading
    """
    late = [a_reading(at_s=-3600 * 20 + second) for second in (1, 2)]
    coming = list(late)
    write = SealedFiles.write

    def write_slowly(self: SealedFiles, day: int, rows: Iterable[SealedRow]) -> SealedFile:
        file = write(self, day, rows)
        if coming:
            store.append([coming.pop()])
        return file

    monkeypatch.setattr(SealedFiles, "write", write_slowly)
    store.seal(NOON, now=NOON)
    assert sorted(everything(store), key=lambda r: r.key) == sorted([*THREE_DAYS, *late], key=lambda r: r.key)
    assert store.stats().readings == len(THREE_DAYS) + 2
    assert store.verify_sealed() == 1


def test_a_verdict_that_comes_while_its_day_is_sealed_is_not_lost(
    store: SqliteReadings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    sealing         reads the day, writes the file .............. notes it: must not, the file has the old verdicts
    another process                 two verdicts change places
                                              sums the day up again
    """
    first, *_ = yesterday = [r for r in THREE_DAYS if r.sensor_id == "água-2" and r.observed_at < MIDNIGHT]
    judged = [replace(first, quality=Quality.GOOD, reasons=())]
    store.requalify(judged)
    judged = [replace(first), replace(yesterday[1], quality=Quality.GOOD, reasons=())]
    coming = [judged]
    write = SealedFiles.write

    def write_slowly(self: SealedFiles, day: int, rows: Iterable[SealedRow]) -> SealedFile:
        file = write(self, day, rows)
        if coming:
            another = SqliteReadings(tmp_path / "readings.db")
            assert another.requalify(coming.pop()) == 2
            another.roll_up(NOON)
            another.close()
        return file

    monkeypatch.setattr(SealedFiles, "write", write_slowly)
    assert len(store.seal(NOON, now=NOON)) == 1
    wanted = {reading.key: reading for reading in [*THREE_DAYS, *judged]}
    assert {reading.key: reading for reading in everything(store)} == wanted


def test_a_new_sensor_of_an_old_day_is_not_lost(store: SqliteReadings, monkeypatch: pytest.MonkeyPatch) -> None:
    newcomer = a_reading("new", at_s=-3600 * 20)
    write = SealedFiles.write

    def write_slowly(self: SealedFiles, day: int, rows: Iterable[SealedRow]) -> SealedFile:
        file = write(self, day, rows)
        store.append([newcomer])
        return file

    monkeypatch.setattr(SealedFiles, "write", write_slowly)
    store.seal(NOON, now=NOON)
    assert store.between("new", NOON - 9 * DAY, NOON) == [newcomer]
    assert store.append([newcomer]) == AppendResult(0, 1)


def test_a_disk_that_gives_back_something_else_costs_nothing(
    store: SqliteReadings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    def spoil(path: Path) -> None:
        if path.is_file():
            table = parquet.read_table(path)
            parquet.write_table(table.slice(0, table.num_rows - 1), path)

    monkeypatch.setattr(sealed_files, "_bring_to_disk", spoil)
    with pytest.raises(UnavailableError, match="reads back 35 readings"):
        store.seal(NOON, now=NOON)
    assert store.sealed_files() == {}
    assert everything(store) == THREE_DAYS


def test_a_file_that_changed_since_is_found_out(store: SqliteReadings, tmp_path: Path) -> None:
    from pyarrow import compute, parquet

    store.seal(NOON, now=NOON)
    path = tmp_path / "sealed" / store.sealed_files()[MIDNIGHT - DAY].name
    table = parquet.read_table(path)
    parquet.write_table(table.set_column(3, "value", compute.add(table["value"], 1.0)), path)
    with pytest.raises(UnavailableError, match="not what was sealed"):
        store.verify_sealed()


def test_a_file_that_is_gone_is_no_empty_day(store: SqliteReadings, tmp_path: Path) -> None:
    store.seal(NOON, now=NOON)
    (tmp_path / "sealed" / store.sealed_files()[MIDNIGHT - DAY].name).unlink()
    with pytest.raises(UnavailableError, match="restore the file from a backup"):
        everything(store)
    with pytest.raises(UnavailableError):
        store.append([THREE_DAYS[0]])  # a repeat or a conflict: nobody can tell


def test_a_day_with_late_readings_is_sealed_again(store: SqliteReadings, tmp_path: Path) -> None:
    store.seal(NOON, now=NOON)
    first = store.sealed_files()[MIDNIGHT - DAY]
    late = a_reading(at_s=-3600 * 20 + 1)
    judged = replace(THREE_DAYS[3], quality=Quality.BAD, reasons=("implausible",), value=5.0)
    assert store.append([late, *THREE_DAYS[:9]]) == AppendResult(1, 9)
    assert store.requalify([judged]) == 1
    kept = sorted([*THREE_DAYS[:3], judged, *THREE_DAYS[4:], late], key=lambda r: (r.sensor_id != "pressure-1", r.key))
    assert everything(store) == kept
    store.seal(NOON, now=NOON)
    second = store.sealed_files()[MIDNIGHT - DAY]
    assert second.readings == first.readings + 1
    assert everything(store) == kept
    assert store.stats().readings == len(THREE_DAYS) + 1
    assert (tmp_path / "sealed" / first.name).exists()  # somebody may be reading it right now
    old = NOON.timestamp() - 2 * 86_400
    for path in (tmp_path / "sealed").iterdir():
        os.utime(path, (old, old))
    store.seal(NOON, now=NOON)
    assert {p.name for p in (tmp_path / "sealed").glob("*.parquet")} == {second.name}


def test_two_do_not_seal_at_once(store: SqliteReadings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = SqliteReadings(tmp_path / "readings.db")
    write = SealedFiles.write

    def meanwhile(self: SealedFiles, day: int, rows: Iterable[SealedRow]) -> SealedFile:
        with pytest.raises(ConflictError, match="another process seals"):
            other.seal(NOON, now=NOON)
        return write(self, day, rows)

    monkeypatch.setattr(SealedFiles, "write", meanwhile)
    assert len(store.seal(NOON, now=NOON)) == 1
    assert other.append([THREE_DAYS[0]]) == AppendResult(0, 1)  # it learns of the sealed day by itself
    other.close()


def test_without_pyarrow_it_is_said_what_to_install(store: SqliteReadings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        store.seal(NOON, now=NOON)
    assert everything(store) == THREE_DAYS


@pytest.mark.parametrize("is_sealed", [False, True])
def test_readings_that_are_dropped_leave_their_rollups(store: SqliteReadings, is_sealed: bool) -> None:
    """
           -1 day 06:00        0:00               0:00            +1 day 18:00
    have        |---------------|------------------|----------------|
    drop        xxxxxxxxxxxxxxxx|
    """
    whole = (NOON - 9 * DAY, NOON + 9 * DAY)
    before = {every: store.rollups(["pressure-1", "água-2"], *whole, every) for every in Every}
    if is_sealed:
        store.seal(NOON + DAY, now=NOON)
        store.append([THREE_DAYS[0]])
        store.requalify([replace(THREE_DAYS[1], reasons=("late",))])
    assert store.drop_readings(NOON, now=NOON) == 36
    kept = [reading for reading in THREE_DAYS if reading.observed_at >= MIDNIGHT]
    assert everything(store) == kept
    assert store.stats().readings == len(kept)
    assert {every: store.rollups(["pressure-1", "água-2"], *whole, every) for every in Every} == before
    assert store.requalify([THREE_DAYS[0]]) == 0
    with pytest.raises(InputError, match="older than what is kept, which begins on 2026-03-01"):
        store.append([THREE_DAYS[0], a_reading(at_s=7)])
    assert store.append([a_reading(at_s=7)]) == AppendResult(1, 0)


def test_rollups_that_are_dropped_are_computed_while_the_readings_are_there(store: SqliteReadings) -> None:
    def windows() -> list[datetime]:
        found = store.rollups(["pressure-1"], NOON - 9 * DAY, NOON + 9 * DAY, Every.HOUR)
        return [window.start for window in found["pressure-1"]]

    store.roll_up(NOON)
    before = windows()
    assert store.drop_rollups(Every.HOUR, NOON) == 36
    assert windows() == before == [after(hour * 3600) for hour in range(-30, 30)]
    store.append([a_reading(at_s=-3600 * 25 + 60)])
    store.roll_up(NOON)
    assert windows() == before
    store.drop_readings(NOON, now=NOON)
    assert windows() == [moment for moment in before if moment >= MIDNIGHT]
