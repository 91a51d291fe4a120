from __future__ import annotations

from collections.abc import Callable

import pytest
from contract.registry.records import a_letter, at

from twin.errors import ConflictError, NaiveDatetimeError, NotFoundError
from twin.storage.registry import SqlRegistry


def test_a_letter_is_kept_byte_for_byte(registry: SqlRegistry) -> None:
    letter = a_letter(payload=bytes(range(256)) * 100, topic="", detail="linha 1\nlinha 2 \U0001f6b0")
    assert registry.bury([letter]) == 1
    (kept,) = registry.dead_letters().items
    assert kept == a_letter(
        payload=letter.payload, topic="", detail=letter.detail, letter_id=kept.letter_id, times_seen=1
    )
    assert registry.dead_letter(kept.letter_id) == kept


def test_a_letter_seen_again_is_counted_and_keeps_its_first_sight(registry: SqlRegistry) -> None:
    registry.bury([a_letter(1)])
    assert registry.bury([a_letter(1, received_at=at(99), reason="other", times_seen=50, letter_id=77)]) == 0
    (kept,) = registry.dead_letters().items
    assert (kept.times_seen, kept.received_at, kept.reason) == (2, at(1), "undecodable")
    assert registry.count_dead_letters() == 1


def test_a_letter_is_known_by_its_topic_and_payload(registry: SqlRegistry) -> None:
    letter = a_letter(1, reason="rate_limited")
    registry.bury([letter])
    assert registry.buried_as(letter.topic, letter.payload) == "rate_limited"
    assert registry.buried_as(letter.topic + "x", letter.payload) is None
    assert registry.buried_as(letter.topic, letter.payload + b"x") is None
    (kept,) = registry.dead_letters().items
    registry.exhume(kept.letter_id)
    assert registry.buried_as(letter.topic, letter.payload) is None


@pytest.mark.parametrize(
    ("batch", "new", "seen"),
    [
        pytest.param([], 0, [], id="nothing"),
        pytest.param([("t", b"a"), ("t", b"a"), ("t", b"a")], 1, [3], id="the same three times"),
        pytest.param([("t", b"a"), ("u", b"a")], 2, [1, 1], id="same payload, other topic"),
        pytest.param([("t", b"ab"), ("ta", b"b")], 2, [1, 1], id="same bytes, split elsewhere"),
        pytest.param([("t", b""), ("t", b"\x00")], 2, [1, 1], id="empty and NUL payload"),
    ],
)
def test_distinct_letters_are_those_of_another_topic_or_payload(
    registry: SqlRegistry, batch: list[tuple[str, bytes]], new: int, seen: list[int]
) -> None:
    letters = [a_letter(topic=topic, payload=payload) for topic, payload in batch]
    assert registry.bury(letters) == new
    assert [letter.times_seen for letter in registry.dead_letters().items] == seen
    assert registry.bury(letters) == 0
    assert [letter.times_seen for letter in registry.dead_letters().items] == [2 * times for times in seen]


def test_only_the_new_ones_of_a_mixed_batch_are_counted_as_new(registry: SqlRegistry) -> None:
    registry.bury([a_letter(0), a_letter(1)])
    assert registry.bury([a_letter(1), a_letter(2), a_letter(2), a_letter(0), a_letter(3)]) == 2
    assert registry.count_dead_letters() == 4


def test_letters_of_one_moment_are_listed_last_in_first(registry: SqlRegistry) -> None:
    registry.bury([a_letter(number, received_at=at(0)) for number in range(5)])
    assert [letter.topic for letter in registry.dead_letters().items] == [f"h2/g/{n}" for n in (4, 3, 2, 1, 0)]


def test_thousands_of_letters_in_one_batch(registry: SqlRegistry) -> None:
    letters = [a_letter(number, payload=str(number).encode()) for number in range(3000)]
    assert registry.bury(letters) == 3000
    assert registry.bury(letters[:10]) == 0
    assert registry.count_dead_letters() == 3000


def test_text_no_database_can_keep_is_mended_and_never_loses_the_letter(registry: SqlRegistry) -> None:
    assert registry.bury([a_letter(topic="a\x00b", detail="\ud800!"), a_letter(topic="a\ufffdb", detail="x")]) == 2
    newest, oldest = registry.dead_letters().items
    assert (oldest.topic, oldest.detail, newest.topic) == ("a\ufffdb", "\ufffd!", "a\ufffdb")


def test_a_letter_published_again_is_forgotten_and_new_when_it_comes_back(registry: SqlRegistry) -> None:
    registry.bury([a_letter(1), a_letter(2)])
    second, first = registry.dead_letters().items
    registry.exhume(second.letter_id)
    assert registry.dead_letters().items == (first,)
    assert registry.bury([a_letter(2)]) == 1
    (back, _) = registry.dead_letters().items
    assert back.letter_id not in (first.letter_id, second.letter_id)


def test_a_letter_that_came_back_since_it_was_looked_at_is_kept(registry: SqlRegistry) -> None:
    registry.bury([a_letter(1)])
    registry.bury([a_letter(1)])
    (letter,) = registry.dead_letters().items
    for other in (1, 3):
        with pytest.raises(ConflictError, match=f"dead letter {letter.letter_id}"):
            registry.exhume(letter.letter_id, times_seen=other)
    assert registry.dead_letters().items == (letter,)
    registry.exhume(letter.letter_id, times_seen=2)
    with pytest.raises(NotFoundError):
        registry.exhume(letter.letter_id, times_seen=2)


@pytest.mark.parametrize("unknown", [0, -1, 4711, 2**63 - 1, 2**63, 10**40])
def test_an_unknown_letter(registry: SqlRegistry, unknown: int) -> None:
    registry.bury([a_letter()])
    with pytest.raises(NotFoundError, match=str(unknown)):
        registry.dead_letter(unknown)
    with pytest.raises(NotFoundError, match=str(unknown)):
        registry.exhume(unknown)
    assert registry.count_dead_letters() == 1


def test_a_naive_time_buries_nothing(registry: SqlRegistry) -> None:
    with pytest.raises(NaiveDatetimeError):
        registry.bury([a_letter(1), a_letter(2, received_at=at(0).replace(tzinfo=None))])
    assert registry.count_dead_letters() == 0


def test_letters_survive_closing(reopen: Callable[[], SqlRegistry]) -> None:
    registry = reopen()
    registry.bury([a_letter(number) for number in range(3)])
    before = registry.dead_letters()
    registry.close()
    assert reopen().dead_letters() == before
