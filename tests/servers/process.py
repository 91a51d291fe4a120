"""Start a server process, wait until it answers, end it by its pid."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens on the loopback port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(ready: Callable[[], bool], *, within_s: float = 30.0, what: str = "the server") -> None:
    """Poll `ready` until it is true; fail loudly when it is not within the limit."""
    end = time.monotonic() + within_s
    pause = threading.Event()
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} was not ready within {within_s} s")
        pause.wait(0.02)


@contextmanager
def running(
    command: Sequence[str], *, log: Path, ready: Callable[[], bool], **popen: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of the block; its output goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **popen)  # type: ignore[call-overload]
        try:

            def started() -> bool:
                if process.poll() is not None:
                    raise RuntimeError(f"{command[0]} ended with {process.returncode}: {log.read_text()[-2000:]}")
                return ready()

            wait_until(started, what=command[0])
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
