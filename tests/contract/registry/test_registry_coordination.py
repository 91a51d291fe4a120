from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from contract.registry.records import SOMEWHERE_ELSE, a_beat, at

from twin.storage.registry import SqlRegistry


def test_a_lease_is_refused_to_others_until_it_has_run_out(registry: SqlRegistry) -> None:
    # 0 s         10 s              15 s                25 s
    # a takes 10  b takes 10 (a's   a is refused (b's   a takes it
    #             has run out)      runs until 20)
    assert registry.acquire_lease("cycle", "a", ttl_s=10, now=at(0))
    assert not registry.acquire_lease("cycle", "b", ttl_s=10, now=at(9.999999))
    assert registry.acquire_lease("cycle", "b", ttl_s=10, now=at(10))
    assert not registry.acquire_lease("cycle", "a", ttl_s=10, now=at(15))
    assert registry.acquire_lease("cycle", "a", ttl_s=10, now=at(25))


def test_the_holder_prolongs_its_lease(registry: SqlRegistry) -> None:
    assert registry.acquire_lease("cycle", "a", ttl_s=10, now=at(0))
    assert registry.acquire_lease("cycle", "a", ttl_s=10, now=at(8))
    assert not registry.acquire_lease("cycle", "b", ttl_s=10, now=at(17))
    assert registry.acquire_lease("cycle", "b", ttl_s=10, now=at(18).astimezone(SOMEWHERE_ELSE))


def test_leases_of_other_names_are_other_leases(registry: SqlRegistry) -> None:
    assert registry.acquire_lease("cycle", "a", ttl_s=10, now=at(0))
    assert registry.acquire_lease("notices", "b", ttl_s=10, now=at(0))


def test_only_the_holder_gives_a_lease_back(registry: SqlRegistry) -> None:
    registry.acquire_lease("cycle", "a", ttl_s=10, now=at(0))
    registry.release_lease("cycle", "b")
    registry.release_lease("other", "a")
    assert not registry.acquire_lease("cycle", "b", ttl_s=10, now=at(1))
    registry.release_lease("cycle", "a")
    assert registry.acquire_lease("cycle", "b", ttl_s=10, now=at(1))


def test_of_many_threads_on_own_connections_one_wins_each_round(reopen: Callable[[], SqlRegistry]) -> None:
    rivals = [reopen() for _ in range(8)]
    start = threading.Barrier(len(rivals))

    def compete(number: int) -> list[bool]:
        won = []
        for moment in range(20):
            start.wait(30)
            won.append(rivals[number].acquire_lease("cycle", f"h{number}", ttl_s=1, now=at(moment * 2)))
        return won

    with ThreadPoolExecutor(len(rivals)) as pool:
        rounds = zip(*pool.map(compete, range(len(rivals))), strict=True)
    assert [sum(winners) for winners in rounds] == [1] * 20


RIVAL = """
import sys
from datetime import UTC, datetime
from twin.storage.registry import open_registry
registry = open_registry(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(registry.acquire_lease("cycle", sys.argv[2], ttl_s=60, now=datetime(2026, 1, 1, tzinfo=UTC)), flush=True)
registry.close()
"""


def test_of_several_processes_one_wins(url: str) -> None:
    """They also make the tables, if they are not there yet, all at once."""
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", RIVAL, url, f"h{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    for rival in rivals:
        assert rival.stdout is not None
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    answers = [rival.communicate(timeout=60) for rival in rivals]
    assert sorted(answer for answer, _ in answers) == ["False\n", "False\n", "False\n", "True\n"]
    assert [errors for _, errors in answers] == [""] * 4


def test_the_newest_beat_of_each_role_is_kept(registry: SqlRegistry) -> None:
    assert registry.beats() == {}
    late = a_beat("cycle", 5, ok=False, detail="was slow")
    for beat in (a_beat("cycle", 1), a_beat("ingest", 2, figures=None), a_beat("cycle", 9), late):
        registry.beat(beat)
    assert registry.beats() == {"cycle": a_beat("cycle", 9), "ingest": a_beat("ingest", 2, figures=None)}


def test_of_two_beats_of_one_moment_the_later_stays(registry: SqlRegistry) -> None:
    registry.beat(a_beat(ok=False))
    registry.beat(a_beat(ok=True, figures={}))
    assert registry.beats() == {"cycle": a_beat(ok=True, figures={})}


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf, 0.1, -0.0, 5e-324, 3])
def test_any_figure_comes_back(registry: SqlRegistry, figure: float) -> None:
    registry.beat(a_beat(figures={"age_s": figure}))
    kept = registry.beats()["cycle"].figures
    assert kept is not None
    assert str(kept["age_s"]) == str(float(figure))
