"""Engine work in processes that may crash, hang or eat memory without taking the twin down.

Hydraulic engines are C libraries fed with files from outside. So they run in long-lived child processes: each has a
private folder (a fresh one per task, removed afterwards), limits on memory, file size and time, no way to the
parent's standard output and none of its settings, and it ends when the parent ends, however that happens.
A child that crashes or overruns is replaced; its task becomes a `ModelError`, and the pool goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self, TypeVar

from models.pool_worker import CRASH_FILE
from twin.errors import InputError, ModelError

Result = TypeVar("Result")

_START_LIMIT_S = 60.0
_FOLDER_PREFIX = "h2twin-engines-"
_LOCK_FILE = "lock"
_CRASH_FRAME = re.compile(r'File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)')
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from models.pool_worker import serve; serve(int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))"
)


class Engines(Protocol):
    """What runs functions in engine processes, wherever these are (`EnginePool`, `models.dask_pool.DaskPool`)."""

    @property
    def workers(self) -> int:
        """How many tasks run at once."""

    @property
    def time_limit_s(self) -> float:
        """Seconds of wall time a task may take unless it is given another limit."""

    def run(self, function: Callable[..., Result], *args: object, time_limit_s: float | None = None) -> Result:
        """Return `function(*args)` as computed in an engine process; waits for a free one first.

        Raises:
            ModelError: If it could not be computed. Errors of the `TwinError` tree that it raises come as themselves.
        """


class EnginePool:
    """Runs functions in at most `workers` child processes at once. Safe to call from several threads.

    Args:
        workers: Number of child processes, started when first needed.
        time_limit_s: Seconds of wall time a task may take before its worker is killed.
        memory_limit_mb: Address space of a worker in MiB.
        file_limit_mb: Size in MiB of the largest file a worker may write.
    """

    def __init__(
        self, workers: int, time_limit_s: float = 120.0, memory_limit_mb: int = 2048, file_limit_mb: int = 512
    ) -> None:
        if workers < 1:
            raise InputError(f"an engine pool needs at least one worker, not {workers}")
        self.workers = workers
        self.time_limit_s = time_limit_s
        self.limits_mb = (memory_limit_mb, file_limit_mb)
        self._slots = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._warming = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._warmers: list[Callable[[], object]] = []
        self._folder: _PrivateFolder | None = None
        # A child's parent-death signal fires when the *thread* that started it ends: one lasting thread starts all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine-starter")
        self._closed = False

    def run(self, function: Callable[..., Result], *args: object, time_limit_s: float | None = None) -> Result:
        """Return `function(*args)` as computed in a worker; waits for a free one first.

        `function` is importable by its module and name. The time limit counts from the start of the task.

        Raises:
            ModelError: If the task failed, crashed its worker, overran its time or memory, or gave what cannot be
                sent back. Errors of the `TwinError` tree that it raises come through as themselves.
        """
        task = pickled_task(function, args)
        limit_s = self.time_limit_s if time_limit_s is None else time_limit_s
        with self._borrowed_worker() as worker:
            answer: Result = worker.answer(task, function.__qualname__, limit_s)
            return answer

    def map(
        self, function: Callable[[Any], Result], items: Iterable[object], *, time_limit_s: float | None = None
    ) -> list[Result | ModelError]:
        """Return `function(item)` for each item in order, with a `ModelError` in the place of each that failed."""

        def attempt(item: object) -> Result | ModelError:
            try:
                return self.run(function, item, time_limit_s=time_limit_s)
            except ModelError as error:
                return error
            except InputError as error:
                return ModelError(str(error))

        work = list(items)
        if not work:
            return []
        with ThreadPoolExecutor(max_workers=min(self.workers, len(work))) as callers:
            return list(callers.map(attempt, work))

    def warm(self, function: Callable[[], object]) -> None:
        """Run `function` (which imports an engine, say) on every worker, and on each that is started later.

        Raises:
            ModelError: If it fails on a worker.
        """
        task = pickled_task(function, ())
        with self._warming, contextlib.ExitStack() as stack:
            workers = [stack.enter_context(self._borrowed_worker()) for _ in range(self.workers)]
            with ThreadPoolExecutor(max_workers=self.workers) as callers:
                list(callers.map(lambda worker: worker.answer(task, function.__qualname__, self.time_limit_s), workers))
            with self._lock:
                self._warmers.append(function)

    def close(self) -> None:
        """End all workers, at work or not, and remove their folders. Closing twice is harmless."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = self._all.difference(idle)
            self._all.clear()
            folder, self._folder = self._folder, None
        for worker in busy:
            worker.stop()  # whoever waits for it disposes of it
        for worker in idle:
            worker.dispose()
        self._starter.shutdown(wait=True)
        if folder is not None:
            folder.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _borrowed_worker(self) -> Iterator[_Worker]:
        with self._slots:
            worker = self._take_idle() or self._start()
            try:
                yield worker
            except TaskFailedError as failure:
                raise failure.error from None
            except BaseException:
                worker.stop()  # what it is doing now is nobody's business any more
                raise
            finally:
                self._give_back(worker)

    def _take_idle(self) -> _Worker | None:
        while True:
            with self._lock:
                if self._closed:
                    raise ModelError("the engine pool is closed")
                if not self._idle:
                    return None
                worker = self._idle.pop()
            if worker.is_alive:
                return worker
            self._give_back(worker)

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            keep = worker.is_alive and not self._closed
            if keep:
                self._idle.append(worker)
            else:
                self._all.discard(worker)
        if not keep:
            worker.dispose()

    def _start(self) -> _Worker:
        try:
            worker = self._starter.submit(self._start_process).result()
        except RuntimeError as error:
            raise ModelError("the engine pool is closed") from error
        try:
            worker.await_ready()
            for function in list(self._warmers):
                with contextlib.suppress(TaskFailedError):  # the task itself will tell what is wrong
                    worker.answer(pickled_task(function, ()), function.__qualname__, self.time_limit_s)
        except BaseException:
            worker.stop()
            self._give_back(worker)
            raise
        return worker

    def _start_process(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise ModelError("the engine pool is closed")
            self._folder = self._folder or _PrivateFolder()
            worker = _Worker(self._folder.path, self.limits_mb)
            self._all.add(worker)
        return worker


class TaskFailedError(Exception):
    """Carries the error of a task whose worker is well and can go on."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Worker:
    """The parent's handle of one child process."""

    def __init__(self, parent_folder: Path, limits_mb: tuple[int, int]) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="worker-", dir=parent_folder))
        ours, theirs = socket.socketpair()
        arguments = [json.dumps(sys.path), theirs.fileno(), self._root, os.getpid(), *limits_mb]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, *map(str, arguments)],
                stdin=subprocess.PIPE,  # the lifeline: nothing is ever written
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                start_new_session=True,  # Ctrl-C at the terminal is for the parent alone
            )
        self._connection = Connection(ours.detach())

    @property
    def is_alive(self) -> bool:
        """Whether the process can take a task."""
        return self._process.poll() is None

    def await_ready(self) -> None:
        """Wait until the child has set its limits and listens, or raise ModelError."""
        try:
            ready = self._connection.poll(_START_LIMIT_S) and self._connection.recv_bytes() == b"ready"
        except (EOFError, OSError):
            ready = False
        if not ready:
            end = self._how_it_ended()
            raise ModelError(f"an engine worker did not start ({end}); check the installation and its memory limit")

    def answer(self, task: bytes, name: str, time_limit_s: float) -> Any:
        """Send a task and return its result.

        Raises:
            TaskFailedError: If the task failed in an orderly way and the worker is well.
            ModelError: If the worker died or must be stopped.
        """
        try:
            self._connection.send_bytes(task)
            if not self._connection.poll(time_limit_s):
                raise ModelError(f"{name} took longer than {time_limit_s:g} s and was stopped")
            content = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise ModelError(f"the engine died during {name}: {self._how_it_ended()}{self._crash_place()}") from error
        try:
            succeeded, result = pickle.loads(content)
        except Exception as error:
            raise ModelError(f"the answer of {name} cannot be read: {type(error).__name__}: {error}") from error
        if not succeeded:
            raise TaskFailedError(result)
        return result

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def dispose(self) -> None:
        """End the process, close the connection and remove the folder."""
        self.stop()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._connection.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def _how_it_ended(self) -> str:
        """Return how the child ended, which closed its connection and so is on its way out."""
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "it no longer answers"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"{name} (out of memory, or killed by hand)" if name == "SIGKILL" else name

    def _crash_place(self) -> str:
        """Return where in Python the crash happened, if the child could still write it down."""
        try:
            frame = _CRASH_FRAME.search((self._root / CRASH_FILE).read_text(errors="replace"))
        except OSError:
            return ""
        return f" in {frame['function']} ({Path(frame['file']).name}:{frame['line']})" if frame else ""


class _PrivateFolder:
    """The pool's folder among the system's temporary files, locked as long as its owner lives."""

    def __init__(self) -> None:
        _remove_abandoned_folders()
        self.path = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
        self._lock_file = _locked(self.path / _LOCK_FILE)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock_file is not None:
            self._lock_file.close()


def _remove_abandoned_folders() -> None:
    """Remove what pools left behind whose process was killed: engines leave large files there."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != os.getuid() or not (folder / _LOCK_FILE).exists():
                continue
            lock_file = _locked(folder / _LOCK_FILE)
            if lock_file is not None:
                shutil.rmtree(folder, ignore_errors=True)
                lock_file.close()


def _locked(path: Path) -> IO[bytes] | None:
    """Return `path` open and locked, or None if another process holds it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def pickled_task(function: Callable[..., object], args: tuple[object, ...]) -> bytes:
    """Return what `models.pool_worker` and `models.dask_worker` run; ModelError if it cannot be sent."""
    try:
        return pickle.dumps((function, args), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        raise ModelError(f"{name} cannot be sent to an engine worker: {type(error).__name__}: {error}") from error


def _environment() -> dict[str, str]:
    """Our environment without the twin's settings (no secrets for engines), with numeric libraries on one thread."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TWIN_")}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
