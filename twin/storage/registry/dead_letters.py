"""Dead letters: one row per (topic, payload), counted when seen again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, func, select

from twin.errors import ConflictError, NotFoundError
from twin.ports import DeadLetter, Page
from twin.storage.registry.columns import mended_text
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part, digest
from twin.storage.registry.schema import dead_letters as table

_LISTING = Listing("dead letters", table.c.received_at, table.c.letter_id)
_HIGHEST_ID = 2**63 - 1
_TURNS = 0x6465_6164  # "dead"


class SqlDeadLetters(Part):
    """Fulfils `twin.ports.DeadLetters`."""

    def bury(self, letters: Sequence[DeadLetter]) -> int:
        """Keep letters durably and return how many were new; the first sight's time and reason stay."""
        rows = _distinct_rows(letters)
        if not rows:
            return 0
        insert = self._database.insert(table)
        counted = insert.on_conflict_do_update(
            index_elements=[table.c.digest], set_={"times_seen": table.c.times_seen + insert.excluded.times_seen}
        ).returning(table.c.digest, table.c.times_seen)
        with self._database.write() as connection:
            self._database.take_turns(connection, _TURNS)  # two batches with the same letters could block each other
            kept = connection.execute(counted, list(rows.values())).all()
        # A letter that was there before has been seen more often than in this batch alone.
        return sum(times_seen == rows[bytes(key)]["times_seen"] for key, times_seen in kept)

    def buried_as(self, topic: str, payload: bytes) -> str | None:
        """Return the reason of a message that is a dead letter already, else None."""
        known = select(table.c.reason).where(table.c.digest == _digest_of(topic, payload))
        with self._database.read() as connection:
            return connection.execute(known).scalar_one_or_none()

    def dead_letters(self, *, limit: int = 100, cursor: str | None = None) -> Page[DeadLetter]:
        """List letters, newest first."""
        with self._database.read() as connection:
            return _LISTING.page(connection, select(table), _letter, limit=limit, cursor=cursor)

    def dead_letter(self, letter_id: int) -> DeadLetter:
        """Return one letter or raise NotFoundError."""
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.letter_id == _known_id(letter_id))).one_or_none()
        if row is None:
            raise _unknown(letter_id)
        return _letter(row)

    def count_dead_letters(self) -> int:
        """Return the number of distinct letters."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()

    def exhume(self, letter_id: int, *, times_seen: int | None = None) -> None:
        """Forget a letter (if it was seen just `times_seen` times); see `DeadLetters.exhume`."""
        forget = delete(table).where(table.c.letter_id == _known_id(letter_id))
        if times_seen is not None:
            forget = forget.where(table.c.times_seen == times_seen)
        with self._database.write() as connection:
            forgotten = connection.execute(forget).rowcount
        if forgotten == 0:
            self.dead_letter(letter_id)  # raises NotFoundError if it is unknown
            raise ConflictError(f"dead letter {letter_id} was seen again meanwhile; it stays")


def _digest_of(topic: str, payload: bytes) -> bytes:
    return digest(topic.encode("utf-8", "surrogatepass"), payload)


def _distinct_rows(letters: Sequence[DeadLetter]) -> dict[bytes, dict[str, Any]]:
    """Return one row per (topic, payload), in order of first sight."""
    rows: dict[bytes, dict[str, Any]] = {}
    for letter in letters:
        key = _digest_of(letter.topic, letter.payload)
        if key in rows:
            rows[key]["times_seen"] += 1
            continue
        rows[key] = {
            "digest": key,
            "received_at": letter.received_at,
            "topic": mended_text(letter.topic),
            "payload": letter.payload,
            "reason": mended_text(letter.reason),
            "detail": mended_text(letter.detail),
            "times_seen": 1,
        }
    return rows


def _letter(row: Row[*tuple[Any, ...]]) -> DeadLetter:
    return DeadLetter(
        letter_id=row.letter_id,
        received_at=row.received_at,
        topic=row.topic,
        payload=bytes(row.payload),
        reason=row.reason,
        detail=row.detail,
        times_seen=row.times_seen,
    )


def _known_id(letter_id: int) -> int:
    if not 0 < letter_id <= _HIGHEST_ID:
        raise _unknown(letter_id)
    return letter_id


def _unknown(letter_id: int) -> NotFoundError:
    return NotFoundError(f"there is no dead letter {letter_id}; `h2twin dead list` shows those there are")
