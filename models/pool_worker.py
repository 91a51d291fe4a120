"""The child's side of the engine pool: one process that takes tasks over a socket until its parent goes away.

It imports nothing but the standard library by itself; engines come in with the first task that needs them, and what
such a task keeps at module level (an open EPANET project, say) is there for the next one.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from twin.errors import ModelError, TwinError

CRASH_FILE = "crash.txt"
_MEGABYTE = 1024 * 1024
_PR_SET_PDEATHSIG = 1


def serve(fd: int, root: str, parent_pid: int, memory_limit_mb: int, file_limit_mb: int) -> None:
    """Answer tasks from the socket `fd` in fresh folders below `root` until the parent closes it or dies."""
    _die_with(parent_pid)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what ends a whole service means our parent, and we end with that
    _limit_resources(memory_limit_mb, file_limit_mb)
    os.chdir(root)
    tempfile.tempdir = root
    connection = Connection(fd)
    with Path(CRASH_FILE).open("w") as crash_file:
        faulthandler.enable(file=crash_file, all_threads=False)
        connection.send_bytes(b"ready")
        while True:
            try:
                task = connection.recv_bytes()
            except (EOFError, OSError):
                return
            connection.send_bytes(_answer(task, Path(root)))


def _die_with(parent_pid: int) -> None:
    """End this process when its parent ends, in C code that holds the interpreter too (Linux), or soon after."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)
    threading.Thread(target=_watch_lifeline, daemon=True).start()


def _watch_lifeline() -> None:
    """The parent alone holds the other end of our standard input and never writes: end of file means it is gone."""
    os.read(0, 1)
    os._exit(0)


def _limit_resources(memory_limit_mb: int, file_limit_mb: int) -> None:
    for kind, limit in (
        (resource.RLIMIT_AS, memory_limit_mb * _MEGABYTE),
        (resource.RLIMIT_FSIZE, file_limit_mb * _MEGABYTE),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (soft, soft))


def _answer(task: bytes, root: Path) -> bytes:
    """Run one task in a folder of its own and return its pickled `(succeeded, result or error)`."""
    folder = tempfile.mkdtemp(prefix="task-", dir=root)
    os.chdir(folder)
    try:
        return _run(task)
    finally:
        os.chdir(root)
        shutil.rmtree(folder, ignore_errors=True)


def _run(task: bytes) -> bytes:
    name = "the task"
    try:
        function, args = pickle.loads(task)
        name = function.__qualname__
        result = function(*args)
    except TwinError as error:
        return _pickled_error(error)
    except MemoryError:
        return pickle.dumps((False, ModelError(f"{name} needs more memory than an engine worker may have")))
    except BaseException as error:  # a worker outlives whatever an engine throws
        return pickle.dumps((False, ModelError(f"{name} failed: {_describe(error)}")))
    try:
        return pickle.dumps((True, result), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        text = f"{name} gave a {type(result).__name__} that cannot be sent back: {_describe(error)}"
        return pickle.dumps((False, ModelError(text)))


def _pickled_error(error: TwinError) -> bytes:
    try:
        content = pickle.dumps((False, error))
        pickle.loads(content)
    except Exception:
        return pickle.dumps((False, ModelError(_describe(error))))
    return content


def _describe(error: BaseException) -> str:
    """Return type, text and place of an exception in one line."""
    place: Any = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" ({Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno})" if place is not None else ""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be shown)"
    return f"{type(error).__name__}: {text}{where}"
