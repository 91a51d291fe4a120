"""Who speaks: the topic and the payload must say the same, and the name must be fit to stand in a topic."""

from __future__ import annotations

from ingest.decoders.base import LONGEST_NAME, Refusal, UndecodableError
from ingest.decoders.strict_json import brief

_NOT_IN_A_NAME = frozenset("/+#")


def is_proper_name(name: object) -> bool:
    """Whether it is printable text of 1 to 256 characters without / + #."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= LONGEST_NAME
        and name.isprintable()
        and _NOT_IN_A_NAME.isdisjoint(name)
    )


def proper_name(name: object, what: str) -> str:
    """Return `name` as the sender's name.

    Raises:
        UndecodableError: If it cannot be one; `what` says whose name it should have been.
    """
    if not isinstance(name, str) or not is_proper_name(name):
        raise UndecodableError(
            f"{what} must be text of 1 to {LONGEST_NAME} characters without / + #, not {brief(name)}"
        )
    return name


def require_same(by_topic: str, by_payload: object, what: str) -> None:
    """Return if topic and payload name the same; upper and lower case are one.

    Raises:
        UndecodableError: `forged_identity` if the payload names another one.
    """
    if not isinstance(by_payload, str):
        raise UndecodableError(f"{what} must be named by text, not {brief(by_payload)}")
    if by_payload.casefold() != by_topic.casefold():
        raise UndecodableError(
            f"the topic says that {what} is {brief(by_topic)}, the payload says {brief(by_payload)}",
            Refusal.FORGED_IDENTITY,
        )


def sender_of_topic(topic: str) -> str:
    """Return a name made of the whole topic, for formats that name no sender."""
    name = "".join(sign if sign.isprintable() and sign not in _NOT_IN_A_NAME else "." for sign in topic)
    return name[:LONGEST_NAME] or "."
