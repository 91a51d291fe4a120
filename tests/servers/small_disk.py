"""A disk of a few megabytes, to be filled up: a tmpfs of its own, which only root can mount, and not everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KEPT_FREE_BYTES = 300_000


class MountRefusedError(Exception):
    """This machine does not let us mount a disk."""


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount an empty disk at `folder` for the length of the block.

    Raises:
        MountRefusedError: If that is not allowed here.
    """
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        raise MountRefusedError("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        raise MountRefusedError(f"this machine lets nobody mount a small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Write a ballast file until next to nothing is free; remove it to make room again."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        while (free := shutil.disk_usage(disk).free) > _KEPT_FREE_BYTES:
            file.write(bytes(min(1_000_000, free - _KEPT_FREE_BYTES)))
            file.flush()
    return ballast
