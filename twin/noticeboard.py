"""The use case that keeps notices true: a draft for each incident people must know of, updates, and an end.

`follow` compares what is public with the incidents as they stand, and takes the steps that are missing. It looks at
states, not at events, so a crash between two saves loses nothing and repeats nothing: the next call finds the same
gap and closes it. Each step is recorded in the audit log before it is saved; after a crash in between the audit
shows the attempt twice, the notice has it once.

Rules:
- One notice per incident, with an id made from the incident's. A draft that an operator cancelled stays cancelled.
- Nothing is published without a person, unless its kind is in `auto_publish`, or a notice about the same cause is
  already in force (the predicted cut begins): then the approval of that notice carries over.
- A published notice is updated when its window moved by 30 minutes or more, or its places or connections changed;
  once per call at most.
- When an incident closes, its published notice gets an all-clear and its draft is cancelled. A notice of a predicted
  cut whose cut has begun gets no all-clear: it is replaced by the notice of the cut.
- A shelved incident causes no steps until its shelf ends; closing takes an incident off the shelf.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from twin.clock import Clock
from twin.customers import Customer
from twin.errors import ConflictError, InputError
from twin.incidents import Incident, IncidentKind, IncidentState
from twin.notices import IN_FORCE, PUBLIC_STATES, UNFINISHED, Notice, NoticeState, NoticeStatus, step
from twin.ports import AuditEntry, AuditLog, CustomerRegistry, IncidentLog, NoticeLog, NoticeWriter

PEOPLE_MUST_KNOW = frozenset(
    {IncidentKind.OUTAGE_PREDICTED, IncidentKind.OUTAGE_OBSERVED, IncidentKind.FLOOD_PREDICTED}
)
OUTAGES = frozenset({IncidentKind.OUTAGE_PREDICTED, IncidentKind.OUTAGE_OBSERVED})
MATERIAL_SHIFT = timedelta(minutes=30)

AUTO_PUBLISH = "rule:auto_publish"
FOLLOW = "rule:follow"


class NoticeMemory(IncidentLog, NoticeLog, CustomerRegistry, AuditLog, Protocol):
    """What the noticeboard must be able to look up and keep."""


class Noticeboard:
    """Takes notices through their lives, one step at a time, also with several threads and boards in a process.

    Between processes the lease of the cycle keeps `follow` to one; an operator's step in another process and a
    `follow` within the same few milliseconds are not guarded against each other.

    `proof` is called with each notice about to become public and raises InputError if it cannot be shown (bootstrap
    gives the CAP channel). `districts` maps a node of the supply network to its district.
    """

    _one_at_a_time = threading.Lock()

    def __init__(
        self,
        memory: NoticeMemory,
        *,
        writer: NoticeWriter,
        clock: Clock,
        status: NoticeStatus,
        auto_publish: frozenset[IncidentKind] = frozenset(),
        districts: Mapping[str, str] | None = None,
        proof: Callable[[Notice], object] | None = None,
    ) -> None:
        self._memory = memory
        self._writer = writer
        self._clock = clock
        self._status = status
        self._auto_publish = auto_publish
        self._districts = {} if districts is None else districts
        self._proof = proof

    # --------------------------------------------------------------------------------------------- following

    def follow(self, open_incidents: Iterable[Incident], changed: Iterable[Incident] = ()) -> list[Notice]:
        """Take every step that is due, given the open incidents and those just changed or closed; return the notices.

        Raises:
            InputError: If a notice could not be shown; all others have taken their steps.
            UnavailableError: If a store is away; the steps not taken are taken by the next call.
        """
        now = self._clock.now()
        incidents = {incident.incident_id: incident for incident in (*open_incidents, *changed)}
        with self._one_at_a_time:
            unfinished = list(self._unfinished())
            for notice in unfinished:
                if notice.incident_id not in incidents:
                    incidents[notice.incident_id] = self._memory.incident(notice.incident_id)
            return self._reconcile(incidents, {notice.incident_id: notice for notice in unfinished}, now)

    def _reconcile(
        self, incidents: Mapping[str, Incident], unfinished: Mapping[str, Notice], now: datetime
    ) -> list[Notice]:
        going_on = [i for i in incidents.values() if i.state is IncidentState.OPEN and i.kind in PEOPLE_MUST_KNOW]
        over = [i for i in incidents.values() if i.state is IncidentState.CLOSED and i.incident_id in unfinished]
        taken: list[Notice] = []
        refused: InputError | None = None
        streets = _Streets(self._memory)
        for incident in sorted(going_on, key=_in_order):
            if incident.is_shelved(now):
                continue
            try:
                taken += self._tell(incident, _told_of_cause(incident, incidents, unfinished), streets, now)
            except InputError as error:
                refused = error
        for incident in sorted(over, key=_in_order):
            cut_goes_on = any(_is_begun_cut_of(incident, other) for other in going_on)
            try:
                taken.append(self._end(incident, unfinished[incident.incident_id], now, cut_goes_on=cut_goes_on))
            except InputError as error:
                refused = error
        if refused is not None:
            raise refused
        return taken

    def _unfinished(self) -> Iterator[Notice]:
        cursor: str | None = None
        while True:
            page = self._memory.notices(states=sorted(UNFINISHED), limit=1000, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def _tell(self, incident: Incident, told: Notice | None, streets: _Streets, now: datetime) -> list[Notice]:
        """Draft, refresh, publish or update the notice of an open incident: whatever is due."""
        notice = next(iter(self._memory.notices_of(incident.incident_id)), None)
        if notice is None:
            notice = self._draft(incident, streets, now)
            return [self._publish_by_rule(notice, self._approver(incident, told)) or notice]
        if notice.state in IN_FORCE:
            return self._update(notice, incident, streets, now) if _is_material(notice, incident) else []
        if notice.state not in UNFINISHED:
            return []
        refreshed = self._refresh(notice, incident, streets, now)
        published = self._publish_by_rule(refreshed, self._approver(incident, told))
        if published is not None:
            return [published]
        return [refreshed] if refreshed is not notice else []

    def _approver(self, incident: Incident, told: Notice | None) -> str:
        """Return in whose name the notice may go out without asking, or nothing."""
        if incident.kind in self._auto_publish:
            return AUTO_PUBLISH
        return told.approved_by if told is not None else ""

    def _draft(self, incident: Incident, streets: _Streets, now: datetime) -> Notice:
        notice = Notice(
            notice_id=notice_id_of(incident),
            incident_id=incident.incident_id,
            kind=incident.kind,
            status=self._status,
            severity=incident.severity,
            state=NoticeState.DRAFT,
            created_at=now,
            updated_at=now,
            texts={},
        )
        draft = self._with_words(self._with_figures(notice, incident, streets), incident, NoticeState.PUBLISHED)
        self._keep(draft, "notice.draft", FOLLOW, now)
        return draft

    def _refresh(self, notice: Notice, incident: Incident, streets: _Streets, now: datetime) -> Notice:
        """Keep the words of an unpublished notice true."""
        current = self._with_words(self._with_figures(notice, incident, streets), incident, NoticeState.PUBLISHED)
        if current == notice:
            return notice
        current = replace(current, updated_at=now)
        self._memory.save_notice(current)
        return current

    def _update(self, notice: Notice, incident: Incident, streets: _Streets, now: datetime) -> list[Notice]:
        current = self._with_words(self._with_figures(notice, incident, streets), incident, NoticeState.UPDATED)
        return [self._step(current, NoticeState.UPDATED, FOLLOW, now)]

    def _publish_by_rule(self, notice: Notice, approver: str) -> Notice | None:
        if not approver:
            return None
        now = self._clock.now()
        if notice.state is NoticeState.DRAFT:
            notice = self._step(notice, NoticeState.APPROVED, approver, now)
        return self._step(notice, NoticeState.PUBLISHED, approver, now)

    def _end(self, incident: Incident, notice: Notice, now: datetime, *, cut_goes_on: bool) -> Notice:
        if notice.state not in IN_FORCE:
            return self._step(notice, NoticeState.CANCELLED, FOLLOW, now)
        to = NoticeState.REPLACED if cut_goes_on else NoticeState.ALL_CLEAR
        if to is NoticeState.ALL_CLEAR:
            notice = replace(notice, ends_at=incident.closed_at)
        return self._step(self._with_words(notice, incident, to), to, FOLLOW, now)

    def _with_figures(self, notice: Notice, incident: Incident, streets: _Streets) -> Notice:
        return replace(
            notice,
            severity=incident.severity,
            confidence=incident.confidence,
            starts_at=incident.starts_at,
            ends_at=incident.expected_end_at,
            node_ids=incident.node_ids,
            connection_ids=incident.connection_ids,
            streets=streets.of(incident.connection_ids),
            districts=_districts_of(incident, self._districts),
        )

    def _with_words(self, notice: Notice, incident: Incident, to: NoticeState) -> Notice:
        return replace(notice, texts=self._writer.write(incident, notice=notice, to=to))

    # --------------------------------------------------------------------------------------------- operators

    def approve(self, notice_id: str, by: str) -> Notice:
        """Approve a draft.

        Raises:
            NotFoundError: If there is no such notice.
            ConflictError: If it is no draft, or its incident is over.
        """
        return self._operate(notice_id, NoticeState.APPROVED, by)

    def publish(self, notice_id: str, by: str) -> Notice:
        """Publish an approved notice; raises like `approve`, and InputError if it cannot be shown."""
        return self._operate(notice_id, NoticeState.PUBLISHED, by)

    def cancel(self, notice_id: str, by: str) -> Notice:
        """Withdraw a notice that was not published yet; raises like `approve`."""
        return self._operate(notice_id, NoticeState.CANCELLED, by)

    def _operate(self, notice_id: str, to: NoticeState, by: str) -> Notice:
        with self._one_at_a_time:
            notice = self._memory.notice(notice_id)
            incident = self._memory.incident(notice.incident_id)
            if to is not NoticeState.CANCELLED and incident.state is IncidentState.CLOSED:
                raise ConflictError(f"incident {incident.incident_id} is over: notice {notice_id} cannot become {to}")
            return self._step(notice, to, by, self._clock.now())

    def _step(self, notice: Notice, to: NoticeState, by: str, now: datetime) -> Notice:
        moved = step(notice, to, now=now, by=by)
        if to in PUBLIC_STATES and self._proof is not None:
            self._proof(moved)
        self._keep(moved, f"notice.{to}", by, now)
        return moved

    def _keep(self, notice: Notice, action: str, by: str, now: datetime) -> None:
        detail = f"incident {notice.incident_id}, revision {len(notice.revisions)}"
        self._memory.record(AuditEntry(at=now, actor=by, action=action, subject=notice.notice_id, detail=detail))
        self._memory.save_notice(notice)


class _Streets:
    """The streets of connections; the customers are read once, and only when asked for."""

    def __init__(self, registry: CustomerRegistry) -> None:
        self._registry = registry
        self._street_of: dict[str, str] | None = None

    def of(self, connection_ids: Sequence[str]) -> tuple[str, ...]:
        if not connection_ids:
            return ()
        if self._street_of is None:
            self._street_of = {c.connection_id: street_of(c) for c in self._registry.customers()}
        return tuple(sorted({self._street_of.get(connection_id, "") for connection_id in connection_ids} - {""}))


def notice_id_of(incident: Incident) -> str:
    """Return the id of the incident's one notice."""
    return f"notice-{incident.incident_id}"


_HOUSE_NUMBER = re.compile(r"\s+(?:n\.?\s*[ºo°]?\.?\s*)?\d+\s*[a-z]?(?:\s*[-/]\s*\d*[a-z]?)?\s*$", re.IGNORECASE)


def street_of(customer: Customer) -> str:
    """Return the customer's street without what would name a door: all after a comma, and a number at the end."""
    name = customer.street.split(",")[0]
    return _HOUSE_NUMBER.sub("", name).strip()


def _districts_of(incident: Incident, districts: Mapping[str, str]) -> tuple[str, ...]:
    if incident.kind not in OUTAGES:
        return ()
    return tuple(sorted({districts[node] for node in incident.node_ids if node in districts}))


def _told_of_cause(
    incident: Incident, incidents: Mapping[str, Incident], unfinished: Mapping[str, Notice]
) -> Notice | None:
    """Return the notice in force about the same cause's other outage incident, if there is one."""
    for notice in unfinished.values():
        other = incidents[notice.incident_id]
        same_cause = other.kind in OUTAGES and other.cause_key == incident.cause_key
        if incident.kind in OUTAGES and same_cause and other.kind is not incident.kind and notice.is_in_force:
            return notice
    return None


def _is_begun_cut_of(predicted: Incident, other: Incident) -> bool:
    return (
        predicted.kind is IncidentKind.OUTAGE_PREDICTED
        and other.kind is IncidentKind.OUTAGE_OBSERVED
        and other.cause_key == predicted.cause_key
    )


def _is_material(notice: Notice, incident: Incident) -> bool:
    """Whether people would act differently: the window moved by half an hour or more, or other places are concerned."""
    said = notice.revisions[-1]
    return (
        _moved(said.starts_at, incident.starts_at)
        or _moved(said.ends_at, incident.expected_end_at)
        or set(notice.node_ids) != set(incident.node_ids)
        or set(notice.connection_ids) != set(incident.connection_ids)
    )


def _moved(said: datetime | None, now_said: datetime | None) -> bool:
    if said is None or now_said is None:
        return said is not now_said
    return abs(now_said - said) >= MATERIAL_SHIFT


def _in_order(incident: Incident) -> tuple[datetime, str]:
    return (incident.opened_at, incident.incident_id)
