"""The embedded broker: amqtt in a child process on loopback, for the demo and a first look.

It keeps sessions in memory only and speaks MQTT 3.1.1; production uses Mosquitto. Nobody gets in without the user name
and password; they are made once and kept by the caller, so that gateways on this machine find their way back after a
restart. Other machines need a broker of their own. The child ends when its parent does, however that ends: it holds the
other end of a pipe.

Run as `python -m ingest.broker`, it is the child: it reads one line of JSON (`port`, `username`, `password`), answers
`{"port": n}` when it listens or `{"error": text}`, and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import selectors
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from twin.errors import ConfigError, UnavailableError

_LOG = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_USERNAME = "h2twin"
_START_WITHIN_S = 30.0
_STOP_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.5


@contextmanager
def embedded_broker(port: int = 0, *, credentials_file: Path | None = None) -> Iterator[str]:
    """Run a broker on loopback for the length of the block; yield its address with the credentials in it.

    A broker whose process dies is started again on the same port. Port 0 picks a free one. The password of the address
    in `credentials_file` is taken again where there is one; the caller keeps the new address there.

    Raises:
        ConfigError: If the port is taken or amqtt is not installed.
        UnavailableError: If the broker does not come up.
    """
    if find_spec("amqtt") is None:
        raise ConfigError("the embedded broker needs amqtt: pip install amqtt, or name a broker with TWIN_MQTT_URL")
    password = _kept_password(credentials_file) or secrets.token_urlsafe(24)
    with _Minder({"port": port, "username": _USERNAME, "password": password}) as listening:
        yield f"mqtt://{_USERNAME}:{password}@{_LOOPBACK}:{listening}?protocol=3.1.1"


class _Minder:
    """Runs the broker's process, and starts it again on the same port when it dies."""

    def __init__(self, order: dict[str, object]) -> None:
        self._order = order
        self._child = _spawn()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._mind, name="broker-minder", daemon=True)

    def __enter__(self) -> int:
        try:
            listening = _start(self._child, self._order)
        except BaseException:
            _end(self._child)
            raise
        self._order = {**self._order, "port": listening}
        self._thread.start()
        return listening

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()
        _end(self._child)

    def _mind(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            if self._child.poll() is None:
                continue
            _LOG.error("the embedded broker died (exit code %s); starting it again", self._child.returncode)
            _end(self._child)
            self._child = _spawn()
            try:
                _start(self._child, self._order)
            except (ConfigError, UnavailableError) as error:
                _LOG.error("the embedded broker does not come up: %s", error)  # the next look tries again
                _end(self._child)


def _spawn() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ingest.broker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for the parent, which ends the broker last
    )


def _kept_password(file: Path | None) -> str:
    """Return the password in the address that `file` holds; empty where there is none."""
    try:
        text = file.read_text().strip() if file is not None else ""
        return urlsplit(text).password or ""
    except (OSError, ValueError):  # not there, not ours, not text, no address
        return ""


def _start(child: subprocess.Popen[str], order: dict[str, object]) -> int:
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        if not selector.select(_START_WITHIN_S):
            raise UnavailableError(f"the embedded broker did not start within {_START_WITHIN_S:g} s")
    line = child.stdout.readline()
    if not line:
        raise UnavailableError(f"the embedded broker ended at once (exit code {child.wait(_STOP_WITHIN_S)})")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise ConfigError(f"the embedded broker cannot listen on port {order['port']}: {answer['error']}")
    return int(answer["port"])


def _end(child: subprocess.Popen[str]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        child.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


async def _serve(order: dict[str, Any], orders: TextIO) -> None:
    """Serve until `orders` closes."""
    from amqtt.broker import Broker
    from amqtt.errors import BrokerError

    with tempfile.TemporaryDirectory(prefix="h2twin-broker-") as folder:
        passwords = Path(folder) / "passwords"
        passwords.touch(mode=0o600)
        passwords.write_text(f"{order['username']}:{_hashed(order['password'])}\n")
        broker = Broker(_config(order["port"], passwords))
        try:
            await broker.start()
        except BrokerError as error:
            _answer({"error": _cause(error)})
            return
        _answer({"port": broker._servers["default"].instance.sockets[0].getsockname()[1]})
        closed = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(target=_wait_for_end, args=(orders, loop, closed), daemon=True).start()
        await closed.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(broker.shutdown(), _STOP_WITHIN_S / 2)


def _config(port: int, passwords: Path) -> dict[str, object]:
    """Only the password file: no anonymous access, no $SYS topics, no logging of packets."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{_LOOPBACK}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)}},
    }


def _hashed(password: str) -> str:
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    return PasswordHash((Argon2Hasher(),)).hash(password)


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError):
        return f"{cause.strerror}; choose another port, or 0 for a free one"
    return str(error)


def _wait_for_end(orders: TextIO, loop: asyncio.AbstractEventLoop, closed: asyncio.Event) -> None:
    orders.read()
    loop.call_soon_threadsafe(closed.set)


def _answer(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    first_line = sys.stdin.readline()
    if first_line:
        asyncio.run(_serve(json.loads(first_line), sys.stdin))
