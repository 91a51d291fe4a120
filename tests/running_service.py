"""`h2twin serve` as a process of its own, for tests that end it, starve it and fill its disk."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from servers.process import wait_until

from api.auth import Role, make_key
from twin.storage.registry import open_registry

ROOT = Path(__file__).parents[1]


def environment(**settings: str) -> dict[str, str]:
    """Return this environment with no settings of h2twin but those given (`cycle_s="1"` is TWIN_CYCLE_S)."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TWIN_")}
    return {**plain, **{f"TWIN_{name.upper()}": value for name, value in settings.items()}, "PYTHONPATH": str(ROOT)}


@dataclass
class Service:
    """A running process and what it has printed."""

    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    @cached_property
    def viewer_key(self) -> str:
        """A key that may look, made in the folder's SQLite registry."""
        registry = open_registry(f"sqlite:///{self.folder / 'registry.db'}")
        key, text = make_key("the test", Role.VIEWER, datetime.now(UTC))
        registry.save_key(key)
        registry.close()
        return text

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def address(self) -> str:
        found = re.search(r"Address: (\S+)/", self.said)
        assert found is not None, self.said
        return found.group(1)

    def wait_for(self, text: str, *, within_s: float = 60.0) -> None:
        """Wait until it has printed `text`; fail at once when it has ended."""

        def seen() -> bool:
            if text in self.said:
                return True
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.said}"
            return False

        wait_until(seen, within_s=within_s, what=f"{text!r} in {self.said!r}")

    def get(self, path: str, *, key: str = "") -> tuple[int, Any]:
        request = urllib.request.Request(self.address + path, headers={"Authorization": f"Bearer {key}"} if key else {})
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def check(self, name: str) -> dict[str, Any]:
        """Return one check of /readyz with its detail."""
        checks = {check["name"]: check for check in self.get("/readyz", key=self.viewer_key)[1]["checks"]}
        found: dict[str, Any] = checks[name]
        return found

    def end(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = 60.0) -> int:
        """Ask it to end and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_s)


def children_of(pid: int) -> set[int]:
    """Return the processes that descend from `pid`."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = (int(fields[1]), fields[0])
    found: set[int] = set()
    while True:
        more = {p for p, (parent, state) in parents.items() if parent in found | {pid} and state != "Z"} - found
        if not more:
            return found
        found |= more


def is_alive(pid: int) -> bool:
    """Whether the process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def service(
    folder: Path, *arguments: str, name: str = "service", log: Path | None = None, **settings: str
) -> Iterator[Service]:
    """Run `h2twin ARGUMENTS` on the data folder; it is killed at the end of the block if it still runs."""
    log = log or folder.parent / f"{name}.log"
    command = [sys.executable, "-m", "api", *arguments, "--data-dir", str(folder)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment(**settings))
    try:
        yield Service(process, log, folder)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
