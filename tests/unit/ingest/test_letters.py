"""Requeueing a dead letter never loses it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes import MemoryLetters, away

from ingest.letters import requeue
from twin.errors import NotFoundError, UnavailableError
from twin.ports import DeadLetter

LETTER = DeadLetter(0, datetime(2026, 1, 1, tzinfo=UTC), "h2/g1/P-1", b"payload", "unknown_sensor", "")


def test_a_letter_is_published_and_forgotten() -> None:
    letters, published = MemoryLetters(), []
    letters.bury([LETTER])
    assert requeue(letters, lambda topic, payload: published.append((topic, payload)), 1)
    assert published == [("h2/g1/P-1", b"payload")]
    assert letters.count_dead_letters() == 0


def test_a_letter_stays_when_the_broker_does_not_acknowledge() -> None:
    letters = MemoryLetters()
    letters.bury([LETTER])

    def publish(topic: str, payload: bytes) -> None:
        raise away()

    with pytest.raises(UnavailableError):
        requeue(letters, publish, 1)
    assert letters.count_dead_letters() == 1


def test_a_letter_that_comes_back_while_it_is_requeued_is_not_forgotten() -> None:
    letters = MemoryLetters()
    letters.bury([LETTER])
    assert not requeue(letters, lambda *_: letters.bury([LETTER]) and None, 1)
    assert letters.dead_letter(1).times_seen == 2


def test_an_unknown_letter_is_named() -> None:
    with pytest.raises(NotFoundError):
        requeue(MemoryLetters(), lambda *_: None, 5)
