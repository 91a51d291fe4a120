"""A real Mosquitto with the settings the product ships for production, on a free port."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.process import answers, free_port, running


def find() -> str | None:
    """Return the broker's path, or None where it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def mosquitto(
    folder: Path, *, port: int | None = None, autosave_s: int = 60
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a persistent broker; yield its port and process. The same folder and port restart the same broker.

    A broker that is killed forgets what it took since it saved last, at most `autosave_s` ago.
    """
    port = port or free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
        f"autosave_interval {autosave_s}\nmax_queued_messages 0\nmax_queued_bytes 1073741824\nmax_inflight_messages 0\n"
        "message_size_limit 1048576\nuser root\n"
    )
    command = [find() or "mosquitto", "-c", str(config)]
    with running(command, log=folder / "mosquitto.log", ready=lambda: answers(port)) as process:
        yield port, process
