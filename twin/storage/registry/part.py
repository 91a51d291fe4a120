"""What every part of the registry stands on."""

from __future__ import annotations

import hashlib

from twin.storage.registry.database import Database


class Part:
    """One port's share of the registry, on the database that all parts share."""

    def __init__(self, database: Database) -> None:
        self._database = database


def digest(*parts: bytes) -> bytes:
    """Return the SHA-256 of the parts, each preceded by its length, so that no two splits look alike."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.digest()
