"""What a person does to an incident: acknowledge it, put it aside, take it back. Each step is kept and audited.

The cycle writes incidents too, so a step is taken on the incident as it stands at that moment, never on a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from twin import incidents as steps
from twin.clock import Clock, format_time
from twin.incidents import Incident
from twin.ports import AuditEntry, AuditLog, IncidentLog


class DeskMemory(IncidentLog, AuditLog, Protocol):
    """What the desk needs of the registry."""


class IncidentDesk:
    """Takes incidents through a person's steps.

    Every step raises NotFoundError for an unknown incident and ConflictError for a closed one. `by` is the name shown
    on the incident, `actor` (else `by`) the one that the audit log needs.
    """

    def __init__(self, memory: DeskMemory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock

    def acknowledge(self, incident_id: str, *, by: str, actor: str = "") -> Incident:
        """Mark that a person has seen the incident."""
        now = self._clock.now()
        return self._step(
            "acknowledge", incident_id, lambda one: steps.acknowledge(one, by=by, now=now), actor=actor or by
        )

    def shelve(self, incident_id: str, *, by: str, until: datetime, reason: str, actor: str = "") -> Incident:
        """Put the incident aside until a moment to come; it comes back by itself.

        Raises:
            InputError: If `until` is not in the future.
        """
        now = self._clock.now()
        return self._step(
            "shelve",
            incident_id,
            lambda one: steps.shelve(one, by=by, until=until, reason=reason, now=now),
            f"until {format_time(until)}: {reason}",
            actor=actor or by,
        )

    def unshelve(self, incident_id: str, *, by: str, actor: str = "") -> Incident:
        """Take the incident back before its time."""
        now = self._clock.now()
        return self._step("unshelve", incident_id, lambda one: steps.unshelve(one, now=now), actor=actor or by)

    def _step(
        self, verb: str, incident_id: str, take: Callable[[Incident], Incident], detail: str = "", *, actor: str
    ) -> Incident:
        moved = self._memory.change_incident(incident_id, take)
        self._memory.record(AuditEntry(self._clock.now(), actor, f"incident.{verb}", incident_id, detail))
        return moved
