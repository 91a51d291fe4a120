"""A bad way to an InfluxDB server: it answers for it with errors, keeps it waiting, or loses its answers.

Requests are passed on whole and answers come back whole; only writes are disturbed where a condition says so, and
every condition but a good one can be limited to a seeded share of them.
"""

from __future__ import annotations

import gzip
import http.client
import http.server
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

_WRITES = "/api/v2/write"
_LINGER_NOT = struct.pack("ii", 1, 0)


class Way(StrEnum):
    """How the way to the server is."""

    GOOD = "good"
    AWAY = "away"  # every connection is reset
    SLOW = "slow"  # every request takes `slow_s` longer
    REFUSING = "refusing"  # writes are answered with InfluxDB's 400, unread
    OVERLOADED = "overloaded"  # 503, as InfluxDB says it
    HANGING = "hanging"  # the request is taken and never answered
    ANSWER_LOST = "answer_lost"  # the server does it; its answer is lost with the connection


_ANSWERS = {
    Way.REFUSING: (400, {"code": "invalid", "message": "unable to parse points: refused by the test"}),
    Way.OVERLOADED: (503, {"code": "unavailable", "message": "overloaded, says the test"}),
}


class HttpProxy:
    """The proxy's address and its condition. `share` of the requests meet the condition, drawn from `seed`.

    While it is refusing, a write that holds `refused_line` is always refused.
    """

    def __init__(self, server_port: int, seed: int) -> None:
        self.server_port = server_port
        self.way = Way.GOOD
        self.share = 1.0
        self.slow_s = 0.5
        self.refused_line: bytes | None = None
        self.met = Counter[Way]()
        self.healed = threading.Event()
        self._draw = random.Random(seed)
        self._lock = threading.Lock()
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.proxy = self
        self.url = f"http://127.0.0.1:{self._listener.server_port}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), name="http-proxy")

    def become(self, way: Way, *, share: float = 1.0) -> None:
        """Change the condition; requests that hang are let go when it is good again."""
        self.share, self.way = share, way
        if way is Way.GOOD:
            self.healed.set()
            self.healed = threading.Event()

    def condition_of(self, path: str, body: bytes) -> Way:
        """Return what a request meets."""
        with self._lock:
            if self.way is Way.REFUSING and not path.startswith(_WRITES):
                return Way.GOOD
            is_met = self._draw.random() < self.share
            if self.way is Way.REFUSING and self.refused_line is not None:
                is_met |= self.refused_line in body
            self.met[self.way] += is_met
            return self.way if is_met else Way.GOOD

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.become(Way.GOOD)
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(10)


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: HttpProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are gone are what this is about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer in two parts would wait for the client's delayed acknowledgement
    server: _Listener

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        way, healed = proxy.condition_of(self.path, plain), proxy.healed
        if way is Way.AWAY:
            self._reset()
        elif way is Way.HANGING:
            healed.wait(60)
            self._reset()
        elif way in _ANSWERS:
            status, said = _ANSWERS[way]
            self._answer(status, [("Content-Type", "application/json")], json.dumps(said).encode())
        else:
            if way is Way.SLOW:
                healed.wait(proxy.slow_s)
            answer = self._ask(proxy.server_port, body)
            if way is Way.ANSWER_LOST or answer is None:
                self._reset()
            else:
                self._answer(*answer)

    def _ask(self, port: int, body: bytes) -> tuple[int, list[tuple[str, str]], bytes] | None:
        """Return the server's answer, or None if it gave none."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            kept = {n: v for n, v in self.headers.items() if n.lower() not in ("host", "connection", "content-length")}
            connection.request(self.command, self.path, body, kept)
            response = connection.getresponse()
            dropped = ("transfer-encoding", "connection", "content-length")
            headers = [(n, v) for n, v in response.getheaders() if n.lower() not in dropped]
            return response.status, headers, response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def http_proxy(server_port: int, *, seed: int = 0) -> Iterator[HttpProxy]:
    """Run a proxy in front of a port for the length of the block."""
    proxy = HttpProxy(server_port, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
