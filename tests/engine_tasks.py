"""Tasks for the engine pool that behave as engines do on a bad day. Importable by name, as the pool requires."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from twin.errors import InputError, ModelError

_calls = 0


def double(value: int) -> int:
    return 2 * value


def where_am_i() -> tuple[int, str, list[str], str]:
    """Return pid, working folder, what is in it, and the folder for temporary files."""
    here = Path.cwd()
    names = sorted(path.name for path in here.iterdir())
    (here / "left behind").write_text("engine output")
    return os.getpid(), str(here), names, tempfile.gettempdir()


def count_calls() -> int:
    """Return how often this worker was here: module-level state lives as long as the worker."""
    global _calls
    _calls += 1
    return _calls


def segfault() -> None:
    ctypes.string_at(0)


def exit_at_once(code: int) -> None:
    os._exit(code)


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def outlive_a_polite_end() -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    return "goes on"


def loop_for_ever() -> None:
    while True:
        pass


def hold_the_interpreter_for_ever() -> None:
    """Sleep in C without releasing the interpreter lock, as SWMM computes."""
    ctypes.PyDLL(None).sleep(10_000)


def eat_memory() -> int:
    return len(bytearray(8 * 1024**3))


def write_a_huge_file() -> None:
    with Path("huge").open("wb") as file:
        for _ in range(100):
            file.write(b"0" * 1024**2)


def reject() -> None:
    raise InputError("line 7: no such junction")


def refuse() -> None:
    raise ModelError("did not converge")


def stumble() -> None:
    raise ValueError("unexpected thing")


def give_back_a_function() -> object:
    return lambda: None


def make_noise() -> None:
    print("engine chatter", flush=True)
    print("engine chatter", file=sys.stderr, flush=True)
    os.write(1, b"engine chatter")
    os.write(2, b"engine chatter")


def read_environment(name: str) -> str | None:
    return os.environ.get(name)


def limits() -> dict[str, int]:
    import resource

    return {
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
        "file": resource.getrlimit(resource.RLIMIT_FSIZE)[0],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }


def busy_span(seconds: float) -> tuple[float, float]:
    """Be at work for a while and return from when to when, on the clock all processes share."""
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        pass
    return start, time.monotonic()


def fail_on_odd(value: int) -> int:
    if value % 2:
        raise ModelError(f"{value} is odd")
    return value


def crash_on_three(value: int) -> int:
    if value == 3:
        os._exit(1)
    return value


def kill_the_host(spared_pid: int) -> None:
    """End the process that keeps this engine process (a Dask worker, say), as a machine that fails does."""
    if os.getppid() == spared_pid:
        raise ModelError("this host is spared")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(10)
