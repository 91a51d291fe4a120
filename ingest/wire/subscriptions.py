"""Which filters to subscribe to, so that no message comes twice to one client.

A broker may send a message once for each subscription that it matches. So filters that others cover are left out, and
two that cross (`a/+/c` and `a/b/+`) are replaced by one that covers both; what only that one matches is nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ingest.topics import TopicTemplate


class Subscriptions:
    """The filters to subscribe to in place of those `asked` for; `dropped` are those of them that are left out."""

    def __init__(self, asked: Sequence[str]) -> None:
        self.filters = _disjoint(tuple(dict.fromkeys(asked)))
        self.dropped = tuple(name for name in dict.fromkeys(asked) if name not in self.filters)
        is_widened = any(name not in asked for name in self.filters)
        self._asked = [TopicTemplate.parse(name) for name in asked] if is_widened else []

    @property
    def is_widened(self) -> bool:
        """Whether messages may come that nobody asked for."""
        return bool(self._asked)

    def wants(self, topic: str) -> bool:
        """Whether somebody asked for messages on this topic."""
        return not self._asked or any(template.match(topic) is not None for template in self._asked)


def covers(wider: str, narrower: str) -> bool:
    """Whether one filter matches every topic that the other one matches."""
    above, below = wider.split("/"), narrower.split("/")
    if not _of_one_kind(above, below):
        return False
    for place, level in enumerate(above):
        if level == "#":
            return True
        if place >= len(below) or below[place] == "#" or (level != "+" and level != below[place]):
            return False
    return len(above) == len(below)


def crosses(one: str, other: str) -> bool:
    """Whether some topic matches both filters."""
    left, right = one.split("/"), other.split("/")
    if not _of_one_kind(left, right):
        return False
    for a, b in zip(left, right, strict=False):
        if "#" in (a, b):
            return True
        if a != b and "+" not in (a, b):
            return False
    longer, length = (left, len(right)) if len(left) > len(right) else (right, len(left))
    return len(longer) == length or longer[length:] == ["#"]


def joined(one: str, other: str) -> str:
    """Return the narrowest filter that covers two."""
    left, right = one.split("/"), other.split("/")
    levels: list[str] = []
    for a, b in zip(left, right, strict=False):
        if "#" in (a, b):
            return "/".join([*levels, "#"])
        levels.append(a if a == b else "+")
    return "/".join(levels if len(left) == len(right) else [*levels, "#"])


def _of_one_kind(left: Sequence[str], right: Sequence[str]) -> bool:
    """Wildcards at the first level do not match the broker's own topics, which begin with $."""
    return left[0] == right[0] or not (left[0].startswith("$") or right[0].startswith("$"))


def _disjoint(filters: tuple[str, ...]) -> tuple[str, ...]:
    while True:
        for one, other in combinations(filters, 2):
            if crosses(one, other):
                both = one if covers(one, other) else other if covers(other, one) else joined(one, other)
                filters = tuple(dict.fromkeys(both if name in (one, other) else name for name in filters))
                break
        else:
            return filters
