"""One connection to a broker: the socket, with or without TLS, read in large gulps, written in few sends.

A connection is used once and turned by one thread. After a loss a new one is made, so that an acknowledgement that
comes late goes to the dead connection and can never acknowledge another message under a packet id that is used again.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress

from ingest.wire.conversation import Conversation, Terms
from ingest.wire.errors import ConnectionLostError, ProtocolViolationError, WireError
from ingest.wire.packets import Publish

_GULP = 256 * 1024
_LEAVE_WITHIN_S = 1.0


class Connection:
    """A conversation with the broker at `host` and `port`; `tls` is None where there is none."""

    def __init__(self, host: str, port: int, terms: Terms, *, tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._port = port
        self._terms = terms
        self._tls = tls
        self._socket: socket.socket | None = None
        self._words: Conversation | None = None
        self._poll = select.poll()
        self._bell, self._bell_push = socket.socketpair()
        self._bell.setblocking(False)
        self._bell_push.setblocking(False)
        self._poll.register(self._bell, select.POLLIN)

    @property
    def words(self) -> Conversation:
        """What was said so far; there is none before `open`."""
        assert self._words is not None
        return self._words

    def open(self) -> None:
        """Connect; the rest happens in `turn`.

        Raises:
            OSError: If nobody answers there, or nobody whom we can trust.
        """
        within_s = self._terms.answer_within_s
        plain = socket.create_connection((self._host, self._port), timeout=within_s)
        self._socket = plain
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self._socket = self._tls.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
            self._socket.do_handshake()
        self._socket.setblocking(False)
        self._words = Conversation(self._terms, time.monotonic())

    def turn(self, within_s: float, *, reading: bool = True) -> list[Publish]:
        """Send what waits and return the messages that have come, after at most `within_s` seconds.

        With `reading` off what the broker sends stays in the network, until it must stop sending.

        Raises:
            WireError: If the connection cannot go on.
        """
        words, sock = self.words, self._socket
        assert sock is not None
        now = time.monotonic()
        if not reading:
            words.excuse(now)
        words.watch(now)
        try:
            self._send(sock)
            if not (reading and self._is_ahead(sock)) and not self._wait(sock, within_s, reading=reading):
                return []
            self._send(sock)
            return words.take(data, time.monotonic()) if reading and (data := self._receive(sock)) else []
        except OSError as error:
            raise ConnectionLostError(f"the connection was lost: {error}") from error
        except ProtocolViolationError as error:
            self._say_why(error)
            raise

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Acknowledge messages in the order given; on a dead connection nothing happens. From any thread."""
        if packet_ids and self._words is not None:
            self._words.acknowledge(packet_ids)
            self.ring()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message with QoS 0; False if that cannot be done now. From any thread."""
        said = self._words is not None and self._words.publish(topic, payload)
        self.ring()
        return said

    def ring(self) -> None:
        """Let `turn` return soon. From any thread."""
        with suppress(OSError):  # full: it rings already; closed: nobody listens
            self._bell_push.send(b"\0")

    def leave(self, reason_code: int = 0) -> None:
        """Send what waits and say good-bye, if the broker takes it soon."""
        words, sock = self._words, self._socket
        if words is None or sock is None:
            return
        words.leave(reason_code)
        end = time.monotonic() + _LEAVE_WITHIN_S
        with suppress(OSError, WireError):
            while words.has_outgoing and time.monotonic() < end:
                self._send(sock)
                if words.has_outgoing:
                    self._wait(sock, 0.05, reading=False)

    def close(self) -> None:
        """Close at once, without taking leave of the broker."""
        for end in (self._socket, self._bell, self._bell_push):
            if end is not None:
                end.close()

    def _say_why(self, error: ProtocolViolationError) -> None:
        with suppress(OSError):
            self.leave(error.reason_code)

    def _send(self, sock: socket.socket) -> None:
        words = self.words
        while words.has_outgoing:
            try:
                count = sock.send(words.outgoing())
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            words.sent(count, time.monotonic())

    def _receive(self, sock: socket.socket) -> bytes:
        """Return up to a gulp of what is there."""
        if self._tls is None:
            try:
                data = sock.recv(_GULP)
            except BlockingIOError:
                return b""
            if not data:
                raise ConnectionLostError("the broker has closed the connection")
            return data
        return self._receive_records(sock)

    def _receive_records(self, sock: socket.socket) -> bytes:
        """TLS hands out one record of at most 16 KiB at a time."""
        records: list[bytes] = []
        size = 0
        while size < _GULP:
            try:
                record = sock.recv(_GULP)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            if not record:
                if records:
                    break  # the next turn meets the end again
                raise ConnectionLostError("the broker has closed the connection")
            records.append(record)
            size += len(record)
        return b"".join(records)

    def _is_ahead(self, sock: socket.socket) -> bool:
        """Whether TLS holds bytes that the kernel knows nothing of."""
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def _wait(self, sock: socket.socket, within_s: float, *, reading: bool) -> bool:
        """Wait until there is something to read, to send or a ring; False if there is not."""
        wanted = (select.POLLIN if reading else 0) | (select.POLLOUT if self.words.has_outgoing else 0)
        self._poll.register(sock, wanted)
        found = self._poll.poll(max(0.0, within_s) * 1000)
        for descriptor, condition in found:
            if descriptor == self._bell.fileno():
                with suppress(BlockingIOError):
                    self._bell.recv(4096)
            elif not reading and condition & (select.POLLHUP | select.POLLERR):
                raise ConnectionLostError("the broker has closed the connection")
        return bool(found)
