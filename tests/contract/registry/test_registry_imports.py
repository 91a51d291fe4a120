"""How far an import has come: kept, replaced, forgotten."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from twin.ports import ImportProgress
from twin.storage.registry import SqlRegistry

BEGUN = datetime(2026, 3, 1, 12, 0, 0, 7, tzinfo=UTC)


def test_progress_is_kept_until_it_is_forgotten(registry: SqlRegistry) -> None:
    digest, other = uuid.uuid4().hex, uuid.uuid4().hex
    assert registry.import_progress(digest) is None
    first = ImportProgress(digest, "ábc.csv", 5000, BEGUN, BEGUN + timedelta(seconds=1), {"stored": 4990})
    later = replace(
        first, rows_done=2**40, updated_at=BEGUN + timedelta(hours=1), counts={"stored": 2**40 - 10, "x": 0}
    )
    registry.save_import(first)
    registry.save_import(replace(first, digest=other))
    assert registry.import_progress(digest) == first
    registry.save_import(later)
    assert registry.import_progress(digest) == later
    registry.forget_import(digest)
    registry.forget_import(digest)
    assert registry.import_progress(digest) is None
    assert registry.import_progress(other) == replace(first, digest=other)
