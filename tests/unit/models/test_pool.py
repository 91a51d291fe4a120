"""The engine pool stays usable whatever its workers do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import engine_tasks as tasks
import pytest
from servers.process import wait_until

from models.pool import EnginePool
from twin.errors import InputError, ModelError


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2, time_limit_s=20.0, memory_limit_mb=1024, file_limit_mb=16) as pool:
        yield pool


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_returns_what_the_function_returns(pool: EnginePool) -> None:
    assert pool.run(tasks.double, 21) == 42


def test_map_keeps_the_order_of_the_items(pool: EnginePool) -> None:
    assert pool.map(tasks.double, range(20)) == [2 * i for i in range(20)]


def test_map_of_nothing_is_nothing(pool: EnginePool) -> None:
    assert pool.map(tasks.double, []) == []


def test_runs_outside_this_process_in_an_empty_private_folder_removed_afterwards(pool: EnginePool) -> None:
    pid, folder, found, temporary = pool.run(tasks.where_am_i)
    assert pid != os.getpid()
    assert found == []
    assert not Path(folder).exists()
    assert Path(folder).is_relative_to(temporary)
    assert Path(temporary).stat().st_mode & 0o077 == 0


def test_a_worker_keeps_its_module_level_state() -> None:
    with EnginePool(1) as pool:
        assert [pool.run(tasks.count_calls) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("task", "args", "cause"),
    [
        pytest.param(tasks.segfault, (), r"died during segfault: SIGSEGV in string_at \(__init", id="segfault"),
        pytest.param(tasks.exit_at_once, (3,), "died during exit_at_once: exit code 3", id="os._exit"),
        pytest.param(tasks.kill_myself, (), "died during kill_myself: SIGKILL", id="kill -9"),
        pytest.param(tasks.eat_memory, (), "eat_memory needs more memory", id="memory hog"),
        pytest.param(tasks.write_a_huge_file, (), r"write_a_huge_file failed: OSError.*File too large", id="huge file"),
        pytest.param(tasks.stumble, (), r"stumble failed: ValueError: unexpected thing \(engine_tasks", id="exception"),
        pytest.param(tasks.refuse, (), "^did not converge$", id="ModelError as itself"),
        pytest.param(tasks.give_back_a_function, (), "function that cannot be sent back", id="unpicklable result"),
        pytest.param(tasks.double, (lambda: 0,), "double cannot be sent", id="unpicklable argument"),
    ],
)
def test_a_failure_is_a_model_error_with_its_cause_and_the_pool_goes_on(
    pool: EnginePool, task: object, args: tuple[object, ...], cause: str
) -> None:
    for _ in range(3):  # more often than there are workers
        with pytest.raises(ModelError, match=cause):
            pool.run(task, *args)  # type: ignore[arg-type]
    assert pool.map(tasks.double, [1, 2, 3]) == [2, 4, 6]


def test_an_engine_does_not_end_before_its_parent_when_a_service_is_stopped(pool: EnginePool) -> None:
    assert pool.run(tasks.outlive_a_polite_end) == "goes on"


def test_an_input_error_comes_through_as_itself(pool: EnginePool) -> None:
    with pytest.raises(InputError, match="line 7: no such junction"):
        pool.run(tasks.reject)


@pytest.mark.parametrize("task", [tasks.loop_for_ever, tasks.hold_the_interpreter_for_ever])
def test_an_endless_task_is_stopped_at_its_time_limit(pool: EnginePool, task: object) -> None:
    with pytest.raises(ModelError, match=r"took longer than 0\.2 s and was stopped"):
        pool.run(task, time_limit_s=0.2)  # type: ignore[arg-type]
    assert pool.run(tasks.double, 2) == 4


def test_the_time_limit_counts_from_the_start_of_the_task_not_from_the_wait_for_a_worker() -> None:
    with EnginePool(1) as pool, ThreadPoolExecutor(6) as threads:
        spans = [threads.submit(pool.run, tasks.busy_span, 0.2, time_limit_s=1.0) for _ in range(6)]
        assert len([span.result() for span in spans]) == 6


def test_one_failed_item_does_not_disturb_the_others(pool: EnginePool) -> None:
    results = pool.map(tasks.fail_on_odd, range(4))
    assert results[0::2] == [0, 2]
    assert [str(error) for error in results[1::2]] == ["1 is odd", "3 is odd"]


def test_one_crashed_item_does_not_disturb_the_others(pool: EnginePool) -> None:
    results = pool.map(tasks.crash_on_three, range(6))
    assert isinstance(results[3], ModelError)
    assert [result for result in results if not isinstance(result, ModelError)] == [0, 1, 2, 4, 5]


def test_at_most_so_many_workers_are_busy_at_once_and_all_are_used() -> None:
    with EnginePool(2) as pool, ThreadPoolExecutor(6) as threads:
        futures = [threads.submit(pool.run, tasks.busy_span, 0.1) for _ in range(6)]
        spans = [future.result() for future in futures]
    together = [sum(start <= moment < end for start, end in spans) for moment, _ in spans]
    assert max(together) == 2


def test_limits_are_set(pool: EnginePool) -> None:
    assert pool.run(tasks.limits) == {"memory": 1024 * 1024**2, "file": 16 * 1024**2, "core": 0}


def test_settings_and_secrets_stay_outside(pool: EnginePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_INFLUX_TOKEN", "secret")
    with EnginePool(1) as fresh:
        assert fresh.run(tasks.read_environment, "TWIN_INFLUX_TOKEN") is None
        assert fresh.run(tasks.read_environment, "PATH") == os.environ["PATH"]


def test_what_engines_print_does_not_reach_our_output(capfd: pytest.CaptureFixture[str]) -> None:
    with EnginePool(1) as pool:
        pool.run(tasks.make_noise)
    assert capfd.readouterr() == ("", "")


def test_warming_reaches_every_worker_and_their_replacements() -> None:
    with EnginePool(2) as pool:
        pool.warm(tasks.count_calls)
        with ThreadPoolExecutor(2) as threads:
            assert [f.result() for f in [threads.submit(pool.run, tasks.count_calls) for _ in range(1)]] == [2]
        for _ in range(2):
            with pytest.raises(ModelError):
                pool.run(tasks.kill_myself)
        assert pool.run(tasks.count_calls) == 2


def test_a_warming_that_fails_says_so() -> None:
    with EnginePool(1) as pool, pytest.raises(ModelError, match="stumble failed"):
        pool.warm(tasks.stumble)


def test_closing_ends_idle_and_busy_workers_and_removes_their_folders() -> None:
    pool = EnginePool(2)
    pid, folder, *_ = pool.run(tasks.where_am_i)
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(pool.run, tasks.loop_for_ever)
        wait_until(lambda: not pool._idle, what="the endless task")
        pool.close()
        with pytest.raises(ModelError):
            busy.result()
    pool.close()
    assert not is_running(pid)
    assert not Path(folder).parents[1].exists()
    with pytest.raises(ModelError, match="closed"):
        pool.run(tasks.double, 1)


_PARENT = """
import sys
sys.path[:0] = sys.argv[1:]
import engine_tasks as tasks
from concurrent.futures import ThreadPoolExecutor
from models.pool import EnginePool
pool = EnginePool(2)
pid, folder, *_ = pool.run(tasks.where_am_i)
for task in (tasks.hold_the_interpreter_for_ever, tasks.loop_for_ever):
    ThreadPoolExecutor(1).submit(pool.run, task)
while len(pool._all) < 2 or pool._idle:
    pass
print(*[worker._process.pid for worker in pool._all], folder, flush=True)
import time
time.sleep(1000)
"""


def test_workers_end_when_their_parent_is_killed_and_the_next_pool_removes_the_folder(tmp_path: Path) -> None:
    places = [str(Path(tasks.__file__).parent), str(Path(tasks.__file__).parents[1])]
    with subprocess.Popen([sys.executable, "-c", _PARENT, *places], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        first, second, folder = parent.stdout.readline().split()
        assert is_running(int(first))
        assert is_running(int(second))
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(int(first)) and not is_running(int(second)), within_s=10, what="their end")
    abandoned = Path(os.fsdecode(folder)).parents[1]
    assert abandoned.parent == Path(tempfile.gettempdir())
    with EnginePool(1) as pool:
        pool.run(tasks.double, 1)
        assert not abandoned.exists()


def test_workers_survive_the_thread_that_first_needed_them() -> None:
    with EnginePool(1) as pool:
        with ThreadPoolExecutor(1) as thread:
            pid = thread.submit(pool.run, tasks.where_am_i).result()[0]
        assert pool.run(tasks.where_am_i)[0] == pid


def test_a_pool_without_workers_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        EnginePool(0)
