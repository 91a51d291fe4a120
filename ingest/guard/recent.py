"""A dictionary that forgets what was not asked for in a long time, so that strangers cannot fill the memory."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps at least the `most` keys used last, and never more than twice as many.

    Two generations: what is used moves to the young one; when that is full it becomes the old one, and that one goes.
    What is found in `young` needs no `get`, and may be replaced there.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the value of `key`, which counts as use."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep the value of `key`."""
        if len(self.young) >= self._most and key not in self.young:
            self._old, self.young = self.young, {}
        self.young[key] = value

    def __len__(self) -> int:
        return len(self.young.keys() | self._old.keys())
