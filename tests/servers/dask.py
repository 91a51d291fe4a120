"""A real Dask scheduler and real workers, each a process of its own on a free loopback port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from servers.process import answers, free_port, running

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def dask_scheduler(
    folder: Path, *, settings: Mapping[str, str] | None = None, scheme: str = "tcp"
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a scheduler; yield its address and process. `settings` are Dask's own, as variables of the environment."""
    port = free_port()
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--no-jupyter"]
    command += ["--host", f"{scheme}://127.0.0.1", "--port", str(port)]
    env = _environment(folder, settings, REPOSITORY)
    with running(command, log=folder / "scheduler.log", ready=lambda: answers(port), env=env, cwd=folder) as process:
        yield f"{scheme}://127.0.0.1:{port}", process


@contextmanager
def dask_worker(
    folder: Path,
    scheduler: str,
    name: str,
    *,
    nanny: bool = False,
    settings: Mapping[str, str] | None = None,
    installation: Path = REPOSITORY,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker with one thread until it is registered; with a nanny, a worker that died is started again.

    `installation` is the folder of its packages.
    """
    log = folder / f"{name}.log"
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--name", name, "--nthreads", "1"]
    command += ["--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(folder)]
    command += ["--nanny" if nanny else "--no-nanny"]
    env = _environment(folder, settings, installation)
    with running(command, log=log, ready=lambda: "Registered to" in log.read_text(), env=env, cwd=folder) as process:
        yield process


def _environment(folder: Path, settings: Mapping[str, str] | None, installation: Path) -> dict[str, str]:
    paths = os.pathsep.join([str(installation), str(REPOSITORY / "tests")])
    return {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(folder), **(settings or {})}
