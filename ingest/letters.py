"""Dead letters go back to where they came from, once their cause is mended."""

from __future__ import annotations

from collections.abc import Callable

from twin.errors import ConflictError
from twin.ports import DeadLetters


def requeue(letters: DeadLetters, publish: Callable[[str, bytes], None], letter_id: int) -> bool:
    """Publish a letter's payload on its topic again and forget the letter; False if it came back as dead meanwhile.

    `publish` returns when the broker has acknowledged, or raises: then the letter stays. It also stays when the
    ingester buried the same message again before we got to forget it, since that one would be lost otherwise.

    Raises:
        NotFoundError: If the letter is unknown.
        UnavailableError: If the broker did not acknowledge.
    """
    letter = letters.dead_letter(letter_id)
    publish(letter.topic, letter.payload)
    try:
        letters.exhume(letter_id, times_seen=letter.times_seen)
    except ConflictError:
        return False
    return True
