"""The socket that reads ahead gives paho exactly the bytes that came."""

from __future__ import annotations

import socket

import pytest

from ingest.connection import GulpingSocket


def test_small_requests_are_answered_from_one_gulp() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gulping = GulpingSocket(ours)
        gulping.setblocking(False)
        theirs.sendall(b"abcdef")
        assert (gulping.pending(), gulping.recv(1), gulping.recv(2), gulping.pending()) == (0, b"a", b"bc", 3)
        assert gulping.recv(10) == b"def"
        assert gulping.pending() == 0
        with pytest.raises(BlockingIOError):
            gulping.recv(1)
        theirs.close()
        assert gulping.recv(1) == b""
