"""A bad network between a client and a server on loopback: it delays, resets, goes silent, or parts them altogether.

One thread turns an event loop; whoever holds the proxy sets its condition from any thread. It reads the MQTT frames
that pass by on their way from the broker, and so counts the messages handed over and the subscriptions taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_CHUNK = 64 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)
_PUBLISH, _SUBACK = 3, 9


class _Frames:
    """Reads a stream of MQTT packets without keeping more of it than a header."""

    def __init__(self, proxy: TcpProxy) -> None:
        self._proxy = proxy
        self._skip = 0
        self._header = b""

    def read(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                continue
            self._header += data[at : at + 1]
            at += 1
            if len(self._header) > 1 and self._header[-1] < 0x80:
                self._skip = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(self._header[1:]))
                kind, qos = self._header[0] >> 4, self._header[0] >> 1 & 3
                self._proxy.deliveries += kind == _PUBLISH and qos > 0
                self._proxy.subscriptions += kind == _SUBACK
                self._header = b""


class _Pair:
    """One client and its connection to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.deaf = False


class TcpProxy:
    """Listens on `port` and passes everything on to the server's port, as well as its condition allows.

    `deliveries` counts the messages with QoS 1 or 2 that the server handed over, `subscriptions` those it took.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.deliveries = 0
        self.subscriptions = 0
        self._server_port = server_port
        self._delay_s = 0.0
        self._parted = False
        self._pairs: set[_Pair] = set()
        self._waiting: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._listening.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # ------------------------------------------------------------------------------------- the network's condition

    def delay(self, seconds: float) -> None:
        """Let every chunk take so long, in both directions."""
        self._delay_s = seconds

    def reset(self) -> None:
        """Break every connection with a reset, in the middle of whatever is under way."""
        self._do(self._reset_all)

    def half_open(self) -> None:
        """Let the server lose its connections while the clients are not told: what they send goes nowhere."""
        self._do(self._deafen_all)

    def part(self) -> None:
        """Pass nothing on, on old connections and new ones, and tell nobody; until `heal`."""
        self._parted = True

    def heal(self) -> None:
        """Be a good network again. What a partition held back is lost with its connections, as after a long one."""
        self._delay_s = 0.0
        if self._parted:
            self._parted = False
            self._do(self._reset_all)

    @property
    def connections(self) -> int:
        """The number of connections that pass something on."""
        return sum(not pair.deaf for pair in self._pairs)

    # -------------------------------------------------------------------------------------------------- the loop

    def _do(self, action: Callable[[], None]) -> None:
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(act)
        assert done.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listener = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = listener.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        listener.close()
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._waiting.add(writer)
        try:
            while self._parted:
                await asyncio.sleep(0.02)
            server_reader, server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except (OSError, asyncio.CancelledError):
            _drop(writer)
            return
        finally:
            self._waiting.discard(writer)
            self._tasks.discard(task)
        pair = _Pair(writer, server)
        self._pairs.add(pair)
        frames = _Frames(self)
        for source, sink, count in ((reader, server, None), (server_reader, writer, frames)):
            pump = self._loop.create_task(self._pump(pair, source, sink, count))
            self._tasks.add(pump)
            pump.add_done_callback(self._tasks.discard)

    async def _pump(
        self, pair: _Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter, frames: _Frames | None
    ) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await source.read(_CHUNK):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                while self._parted:
                    await asyncio.sleep(0.02)
                if pair.deaf:
                    continue
                if frames is not None:
                    frames.read(data)
                sink.write(data)
                await sink.drain()
        if not pair.deaf:
            sink.close()
            self._pairs.discard(pair)

    def _reset_all(self) -> None:
        for pair in self._pairs:
            _drop(pair.client)
            _drop(pair.server)
        for writer in self._waiting:
            _drop(writer)
        self._pairs.clear()
        self._waiting.clear()

    def _deafen_all(self) -> None:
        for pair in self._pairs:
            pair.deaf = True
            _drop(pair.server)


def _drop(writer: asyncio.StreamWriter) -> None:
    sock: Any = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()


@contextmanager
def tcp_proxy(server_port: int) -> Iterator[TcpProxy]:
    """Run a proxy in front of a port for the length of the block."""
    proxy = TcpProxy(server_port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
