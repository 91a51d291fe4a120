"""Places in a JSON document.

A path is keys joined by dots (`"a.b.0.c"`, numbers count list places); a path that begins with `/` is a JSON pointer
(RFC 6901), for keys that hold dots.
"""

from __future__ import annotations

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
