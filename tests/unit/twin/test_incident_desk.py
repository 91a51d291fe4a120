"""What a person does to an incident: kept, written down, and never at the cost of what the cycle wrote meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from twin.clock import ReplayClock
from twin.errors import ConflictError, InputError, NotFoundError
from twin.incident_desk import IncidentDesk
from twin.incidents import Incident, IncidentKind, Severity, close
from twin.ports import AuditEntry
from twin.storage.registry import SqlRegistry, open_registry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
INCIDENT = Incident("i-1", IncidentKind.TANK_LOW, "k", "c", Severity.MINOR, 1.0, NOW, NOW)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqlRegistry]:
    registry = open_registry(f"sqlite:///{tmp_path}/registry.db")
    registry.save_incidents([INCIDENT])
    yield registry
    registry.close()


@pytest.fixture
def desk(registry: SqlRegistry) -> IncidentDesk:
    return IncidentDesk(registry, ReplayClock(NOW))


def audited(registry: SqlRegistry) -> list[AuditEntry]:
    return list(reversed(registry.audit_entries().items))


def test_every_step_is_kept_and_written_down(desk: IncidentDesk, registry: SqlRegistry) -> None:
    assert desk.acknowledge("i-1", by="ana", actor="ana (k1)").acknowledged_by == "ana"
    assert desk.shelve("i-1", by="rui", until=LATER, reason="works").is_shelved(NOW)
    assert registry.incident("i-1").shelved_reason == "works"
    assert desk.unshelve("i-1", by="rui") == registry.incident("i-1")
    assert registry.incident("i-1").acknowledged_at == NOW
    assert not registry.incident("i-1").is_shelved(NOW)
    assert audited(registry) == [
        AuditEntry(NOW, "ana (k1)", "incident.acknowledge", "i-1"),
        AuditEntry(NOW, "rui", "incident.shelve", "i-1", "until 2026-03-01T14:00:00Z: works"),
        AuditEntry(NOW, "rui", "incident.unshelve", "i-1"),
    ]


def test_a_refused_step_changes_nothing_and_is_not_written_down(desk: IncidentDesk, registry: SqlRegistry) -> None:
    with pytest.raises(NotFoundError):
        desk.acknowledge("i-9", by="ana")
    with pytest.raises(InputError):
        desk.shelve("i-1", by="ana", until=NOW, reason="too late")
    closed = close(INCIDENT, now=NOW)
    registry.save_incidents([closed])
    with pytest.raises(ConflictError):
        desk.acknowledge("i-1", by="ana")
    assert (registry.incident("i-1"), audited(registry)) == (closed, [])
