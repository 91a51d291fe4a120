"""A spool that fills its disk while the server is away empties itself when the server is back, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from reading_builders import a_reading
from servers.small_disk import MountRefusedError, small_disk
from spooled import readings_in, waiting_lines

from twin.errors import StorageFullError
from twin.ports import AppendResult
from twin.readings import Reading
from twin.storage.spool import Spool

BATCH = 500


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    try:
        with small_disk(tmp_path / "disk", megabytes=12) as folder:
            yield folder
    except MountRefusedError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["disk", "file"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    """A spool that is stopped by its disk, or by its own limit."""
    if request.param == "disk":
        opened = Spool(request.getfixturevalue("disk") / "spool.db")
    else:
        opened = Spool(tmp_path / "spool.db", max_bytes=4_000_000)
    opened.meet("a bucket", {}, 0)
    yield opened
    opened.close()


def fill(spool: Spool, first: int) -> int:
    """Append batches until the spool refuses one; return the number of the one that was refused."""
    for number in range(first, first + 10_000):
        try:
            result = spool.append(batch(number))
            assert result == AppendResult(BATCH, 0)
        except StorageFullError:
            return number
    raise AssertionError("it never filled")


def batch(number: int) -> list[Reading]:
    return [a_reading(at_s=number * BATCH + second) for second in range(BATCH)]


def forward_everything(spool: Spool) -> list[Reading]:
    """Do what the forwarder does, with a server that takes everything."""
    sent = []
    while parcel := spool.next_parcel(BATCH):
        sent += readings_in(parcel)
        spool.delivered(parcel)
        spool.forget_oldest()
    while spool.forget_oldest():
        pass
    return sent


def test_a_full_spool_empties_itself_and_takes_more(spool: Spool) -> None:
    refused, sent = 0, []
    for _ in range(3):
        first, refused = refused, fill(spool, refused)
        assert refused > first, "nothing fitted any more"
        with pytest.raises(StorageFullError):
            spool.check()
        assert spool.stats().pending == (refused - first) * BATCH
        sent += forward_everything(spool)
        spool.check()
    assert sent == [a_reading(at_s=second) for second in range(refused * BATCH)]
    assert spool.stats().readings == refused * BATCH


def test_what_waits_is_never_forgotten_for_want_of_room(spool: Spool) -> None:
    refused = fill(spool, 0)
    assert spool.forget_oldest() == 0
    assert spool.stats().pending == refused * BATCH
    assert len(waiting_lines(spool)) == refused * BATCH
