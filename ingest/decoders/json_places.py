"""Places in a JSON document.

A path is keys joined by dots (`"a.b.0.c"`, numbers count list places); a path that begins with `/` is a JSON pointer
(RFC 6901), for keys that hold dots.
"""

from __future__ import annotations

from collections.abc import Iterator

from twin.errors import ConfigError

ABSENT = object()
"""What stands where nothing stands: null is something."""


class Path:
    """Where in a JSON document a value stands."""

    def __init__(self, text: str) -> None:
        if not text:
            raise ConfigError("a path must not be empty")
        self.text = text
        if text.startswith("/"):
            self._steps = [step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/")]
        else:
            self._steps = text.split(".")

    def of(self, document: object) -> object:
        """Return the value there, or ABSENT."""
        for step in self._steps:
            if isinstance(document, dict):
                document = document.get(step, ABSENT)
            elif isinstance(document, list) and step.isdecimal() and len(step) < 9 and int(step) < len(document):
                document = document[int(step)]
            else:
                return ABSENT
        return document


def first_of(path: Path, *documents: object) -> object:
    """Return the value at `path` in the first document that has one, or ABSENT."""
    for document in documents:
        found = path.of(document)
        if found is not ABSENT:
            return found
    return ABSENT


def leaves_of(document: object) -> Iterator[tuple[str, object]]:
    """Return every place in a document where neither an object nor a list stands, with what stands there."""
    for steps, value in _leaves(document, ()):
        if steps:
            yield _text(steps), value


def _leaves(document: object, steps: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _leaves(value, (*steps, key))
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from _leaves(value, (*steps, str(place)))
    else:
        yield steps, document


def _text(steps: tuple[str, ...]) -> str:
    plain = ".".join(steps)
    if plain and not plain.startswith("/") and not any("." in step for step in steps):
        return plain
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
