"""Threads and processes that share one registry lose nothing and never block each other for long."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from contract.registry.records import a_letter, an_entry, an_incident, at

from twin.storage.registry import SqlRegistry


def test_threads_that_bury_the_same_letters_count_every_sight(reopen: Callable[[], SqlRegistry]) -> None:
    shared, other = reopen(), reopen()
    letters = [a_letter(number) for number in range(20)]

    def bury(number: int) -> int:
        batch = letters if number % 2 else letters[::-1]
        return (shared if number % 3 else other).bury(batch)

    with ThreadPoolExecutor(8) as pool:
        new = sum(pool.map(bury, range(24)))
    assert new == 20
    assert {letter.times_seen for letter in shared.dead_letters().items} == {24}


def test_threads_that_upsert_the_same_incidents_in_any_order(reopen: Callable[[], SqlRegistry]) -> None:
    registries = [reopen(), reopen()]
    numbers = list(range(30))

    def save(turn: int) -> None:
        order = numbers if turn % 2 else numbers[::-1]
        registries[turn % 2].save_incidents([an_incident(number, cause=f"turn {turn}") for number in order])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(24)))
    causes = {incident.cause for incident in registries[0].incidents(limit=1000).items}
    assert len(causes) == 1  # all or none: the last batch replaced every incident


def test_a_reader_never_sees_half_a_batch(reopen: Callable[[], SqlRegistry]) -> None:
    writer, reader = reopen(), reopen()

    def write() -> None:
        for turn in range(40):
            writer.save_incidents([an_incident(number, cause=f"turn {turn}") for number in range(20)])

    seen: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            causes = {incident.cause for incident in reader.incidents(limit=1000).items}
            assert len(causes) <= 1
            seen += [int(cause.removeprefix("turn ")) for cause in causes]
        writing.result()
    assert all(earlier <= later for earlier, later in pairwise(seen))


def test_more_threads_than_connections_take_turns(registry: SqlRegistry) -> None:
    with ThreadPoolExecutor(60) as pool:
        list(pool.map(lambda number: registry.record(an_entry(number)), range(300)))
        totals = list(pool.map(lambda _: len(registry.audit_entries(limit=1000).items), range(60)))
    assert totals == [300] * 60


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from twin.ports import AuditEntry
from twin.storage.registry import open_registry
registry = open_registry(sys.argv[1])
registry.record(AuditEntry(datetime(2026, 1, 1, tzinfo=UTC), "ana", "approve", "N-1"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_recorded_survives_a_kill_right_after(url: str, reopen: Callable[[], SqlRegistry]) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, url], check=False, timeout=60)
    assert killed.returncode == -9
    (entry,) = reopen().audit_entries().items
    assert (entry.action, entry.at < at(0)) == ("approve", True)
