"""What runs on a Dask worker: it passes a task on to engine processes of its own, which may crash, hang or overrun.

The worker itself never runs an engine, so what an engine does wrong costs a task and no worker. What it needs of the
installation must be what the asker has (`software`): another version could answer otherwise, and nobody would see it.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
import threading
from functools import cache
from importlib.metadata import version
from pathlib import Path

from models.pool import EnginePool
from twin.errors import TwinError

_LIBRARIES = ("numpy", "owa-epanet", "pandas", "scipy", "wntr")

_lock = threading.Lock()
_engines: dict[tuple[int, int], EnginePool] = {}


class OtherSoftwareError(Exception):
    """The worker's installation is not the asker's."""


@cache
def software() -> str:
    """Return a digest of all that decides on the bytes of an answer: our code, Python, and the libraries in use."""
    digest = hashlib.sha256(f"{platform.machine()} {platform.python_version()}".encode())
    for name in _LIBRARIES:
        digest.update(f" {name} {version(name)}".encode())
    top = Path(__file__).parents[1]
    for path in sorted(path for package in ("models", "twin") for path in (top / package).rglob("*.py")):
        digest.update(f" {path.relative_to(top)} ".encode() + path.read_bytes())
    return digest.hexdigest()


def answer(task: bytes, asked_of: str, limits_mb: tuple[int, int], time_limit_s: float) -> bytes:
    """Run a pickled `(function, args)` in an engine process, and return its pickled `(succeeded, result or error)`.

    Raises:
        OtherSoftwareError: If this is not the installation that was `asked_of`.
    """
    if software() != asked_of:
        raise OtherSoftwareError(f"h2twin, Python or a library on {platform.node()} is of another version than here")
    function, args = pickle.loads(task)
    outcome: tuple[bool, object]
    try:
        outcome = (True, _engines_within(limits_mb).run(function, *args, time_limit_s=time_limit_s))
    except TwinError as error:
        outcome = (False, error)
    return pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL)


def _engines_within(limits_mb: tuple[int, int]) -> EnginePool:
    """Return this worker's engine processes, as many as it has threads; they end with it."""
    from distributed import get_worker

    with _lock:
        if limits_mb not in _engines:
            memory_mb, file_mb = limits_mb
            threads = get_worker().state.nthreads
            _engines[limits_mb] = EnginePool(threads, memory_limit_mb=memory_mb, file_limit_mb=file_mb)
        return _engines[limits_mb]
