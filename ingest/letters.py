"""Dead letters go back to where they came from, once their cause is mended; rows of files become letters too.

A letter can go back only if somebody takes what comes on its topic: a broker acknowledges a message that nobody has
subscribed to, and it is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from ingest.decoders.base import RawReading, UndecodableError
from ingest.decoders.native import NativeDecoder, item_alone, item_of
from ingest.mappings import Source
from twin.errors import ConflictError, InputError
from twin.ports import DeadLetter, DeadLetters

FILES = "import"
"""Stands in for the gateway of rows that came from files, and is the first level of those that no message can say."""


def letter_of_row(
    file: str, line: int | None, row: bytes, raw: RawReading | None, reason: str, detail: str, now: datetime
) -> DeadLetter:
    """Return the letter of a bad row of a file.

    Where `raw` is what the row says and a native message can say the same, it is that message and can be requeued;
    else it is the row's bytes on `import/{file}`, which nobody takes.
    """
    topic, payload = _as_message(raw) or (f"{FILES}/{file}", row)
    where = file if line is None else f"{file}, line {line}"
    return DeadLetter(0, now, topic, payload, reason, f"{where}: {detail}")


def _as_message(raw: RawReading | None) -> tuple[str, bytes] | None:
    if raw is None or raw.observed_at is None:
        return None
    topic, payload = item_alone(FILES, raw.name, item_of(raw, raw.observed_at))
    try:
        decoded = NativeDecoder().decode(topic, payload, raw.observed_at)
    except UndecodableError:
        return None
    return (topic, payload) if decoded.readings == [raw] else None


def requeue(
    letters: DeadLetters, publish: Callable[[str, bytes], None], letter_id: int, sources: Sequence[Source]
) -> bool:
    """Publish a letter's payload on its topic again and forget the letter; False if it came back as dead meanwhile.

    `publish` returns when the broker has acknowledged, or raises: then the letter stays. It also stays when the
    ingester buried the same message again before we got to forget it, since that one would be lost otherwise.

    Raises:
        NotFoundError: If the letter is unknown.
        InputError: If none of the `sources` takes the letter's topic; it stays.
        UnavailableError: If the broker did not acknowledge.
    """
    letter = letters.dead_letter(letter_id)
    require_taken(letter, sources)
    publish(letter.topic, letter.payload)
    try:
        letters.exhume(letter_id, times_seen=letter.times_seen)
    except ConflictError:
        return False
    return True


def require_taken(letter: DeadLetter, sources: Sequence[Source]) -> None:
    """Return if one of the `sources` takes messages on the letter's topic.

    Raises:
        InputError: If none does; says what to do instead of requeueing.
    """
    if any(source.template.match(letter.topic) is not None for source in sources):
        return
    root, _, file = letter.topic.partition("/")
    if root == FILES and file:
        raise InputError(
            f"letter {letter.letter_id} is a row of {file} that no message can say ({letter.detail}): mend the row and "
            "import the file again; rows that are stored already are absorbed"
        )
    raise InputError(
        f"letter {letter.letter_id} came on {letter.topic!r}, which no source takes any more: add one to the mappings "
        "file (TWIN_MAPPINGS), then requeue it"
    )
