"""The noticeboard: it takes the steps that are missing, each once, whatever crashes in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.clock import ReplayClock
from twin.customers import Customer
from twin.errors import ConflictError, InputError, NotFoundError, UnavailableError
from twin.incidents import Incident, IncidentKind, IncidentState, Severity, close, shelve
from twin.noticeboard import AUTO_PUBLISH, Noticeboard, street_of
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText
from twin.ports import AuditEntry, Page

T0 = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)
OBSERVED, PREDICTED, FLOOD = IncidentKind.OUTAGE_OBSERVED, IncidentKind.OUTAGE_PREDICTED, IncidentKind.FLOOD_PREDICTED
ALL_THREE = frozenset({OBSERVED, PREDICTED, FLOOD})
S = NoticeState


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


class Memory:
    """Incidents, notices, customers and audit in dictionaries; `fail_at` crashes at the n-th write from now."""

    def __init__(self, customers: Sequence[Customer] = ()) -> None:
        self.kept_incidents: dict[str, Incident] = {}
        self.kept_notices: dict[str, Notice] = {}
        self.history: list[Notice] = []
        self.audit: list[AuditEntry] = []
        self.kept_customers = list(customers)
        self.fail_at: int | None = None

    def _write(self) -> None:
        if self.fail_at is not None:
            self.fail_at -= 1
            if self.fail_at < 0:
                self.fail_at = None
                raise UnavailableError("crash")

    def upsert_customers(self, customers: Sequence[Customer]) -> None:
        self.kept_customers = list(customers)

    def customers(self) -> list[Customer]:
        return self.kept_customers

    def save_incidents(self, incidents: Sequence[Incident]) -> None:
        self.kept_incidents |= {incident.incident_id: incident for incident in incidents}

    def incident(self, incident_id: str) -> Incident:
        if incident_id not in self.kept_incidents:
            raise NotFoundError(incident_id)
        return self.kept_incidents[incident_id]

    def open_incidents(self) -> list[Incident]:
        return [incident for incident in self.kept_incidents.values() if incident.state is IncidentState.OPEN]

    def incidents(self, **_: object) -> Page[Incident]:
        return Page(tuple(self.kept_incidents.values()))

    def count_incidents(self) -> dict[str, int]:
        return {}

    def save_notice(self, notice: Notice) -> None:
        self._write()
        self.kept_notices[notice.notice_id] = notice
        self.history.append(notice)

    def notice(self, notice_id: str) -> Notice:
        if notice_id not in self.kept_notices:
            raise NotFoundError(notice_id)
        return self.kept_notices[notice_id]

    def notices_of(self, incident_id: str) -> list[Notice]:
        return [notice for notice in self.kept_notices.values() if notice.incident_id == incident_id]

    def notices(
        self, *, states: Sequence[NoticeState] | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Notice]:
        found = [notice for notice in self.kept_notices.values() if states is None or notice.state in states]
        start = int(cursor or 0)
        page = found[start : start + 1]  # one a page, to see that all pages are read
        return Page(tuple(page), str(start + 1) if start + 1 < len(found) else None)

    def count_notices(self) -> dict[str, int]:
        return {}

    def record(self, entry: AuditEntry) -> None:
        self._write()
        self.audit.append(entry)

    def audit_entries(self, *, limit: int = 100, cursor: str | None = None) -> Page[AuditEntry]:
        return Page(tuple(self.audit))


class PlainWriter:
    def write(self, incident: Incident, *, notice: Notice, to: NoticeState) -> Mapping[str, NoticeText]:
        figures = f"{to} {incident.cause_key} {incident.node_ids} {notice.starts_at} {notice.streets}"
        return {"en": NoticeText(figures, figures, figures)}


def an_incident(kind: IncidentKind = OBSERVED, *nodes: str, key: str = "tank_empty:T7") -> Incident:
    nodes = nodes or ("A",)
    connections = tuple(f"C-{node}" for node in nodes)
    return Incident(
        f"{kind}-{key}", kind, key, "why", Severity.MODERATE, 0.9, T0, T0, T0 + minutes(60), T0 + minutes(240),
        node_ids=nodes, connection_ids=connections,
    )  # fmt: skip


class Town:
    """One noticeboard on one memory and clock."""

    def __init__(
        self,
        auto: frozenset[IncidentKind] = frozenset(),
        customers: Sequence[Customer] = (),
        proof: Callable[[Notice], object] | None = None,
    ) -> None:
        self.memory = Memory(customers)
        self.clock = ReplayClock(T0)
        self.board = Noticeboard(
            self.memory,
            writer=PlainWriter(),
            clock=self.clock,
            status=NoticeStatus.EXERCISE,
            auto_publish=auto,
            proof=proof,
        )

    def cycle(self, *changed: Incident) -> list[Notice]:
        self.clock.advance_to(self.clock.now() + minutes(5))
        self.memory.save_incidents(changed)
        return self.board.follow(self.memory.open_incidents(), changed)

    def notice(self, incident: Incident) -> Notice:
        (notice,) = self.memory.notices_of(incident.incident_id)
        return notice

    def closed(self, incident: Incident) -> Incident:
        return close(incident, now=self.clock.now())

    def actions(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.actor) for entry in self.memory.audit]


def states_of(notice: Notice) -> list[NoticeState]:
    return [revision.state for revision in notice.revisions]


# ------------------------------------------------------------------------------------------------- following


@pytest.mark.parametrize("kind", sorted(ALL_THREE))
def test_an_incident_people_must_know_of_gets_one_draft_and_nothing_goes_out(kind: IncidentKind) -> None:
    town = Town()
    incident = an_incident(kind)
    town.cycle(incident)
    assert town.cycle() == []
    notice = town.notice(incident)
    assert (notice.state, notice.status, notice.connection_ids) == (S.DRAFT, NoticeStatus.EXERCISE, ("C-A",))
    assert town.actions() == [("notice.draft", "rule:follow")]


@pytest.mark.parametrize("kind", sorted(frozenset(IncidentKind) - ALL_THREE))
def test_other_incidents_are_for_operators_only(kind: IncidentKind) -> None:
    town = Town(auto=frozenset(IncidentKind))
    town.cycle(an_incident(kind))
    assert town.memory.kept_notices == {}


def test_a_rule_publishes_without_a_person_and_says_so() -> None:
    town = Town(auto=ALL_THREE)
    incident = an_incident()
    town.cycle(incident)
    assert town.notice(incident).state is S.PUBLISHED
    assert [action for action, _ in town.actions()] == ["notice.draft", "notice.approved", "notice.published"]
    assert {actor for _, actor in town.actions()[1:]} == {AUTO_PUBLISH}


@pytest.mark.parametrize(
    ("change", "is_update"),
    [
        pytest.param({"starts_at": T0 + minutes(89)}, False, id="29 min later"),
        pytest.param({"starts_at": T0 + minutes(90)}, True, id="30 min later"),
        pytest.param({"starts_at": T0 + minutes(30)}, True, id="30 min earlier"),
        pytest.param({"expected_end_at": T0 + minutes(300)}, True, id="ends later"),
        pytest.param({"expected_end_at": None}, True, id="end no longer known"),
        pytest.param({"node_ids": ("A", "B")}, True, id="more places"),
        pytest.param({"connection_ids": ()}, True, id="other connections"),
        pytest.param({"confidence": 0.5, "severity": Severity.SEVERE}, False, id="only surer"),
    ],
)
def test_an_update_goes_out_when_people_would_act_differently(change: dict[str, object], is_update: bool) -> None:
    town = Town(auto=ALL_THREE)
    incident = an_incident()
    town.cycle(incident)
    town.cycle(replace(incident, **change))  # type: ignore[arg-type]
    assert states_of(town.notice(incident)) == [S.PUBLISHED] + [S.UPDATED] * is_update


def test_a_window_that_creeps_is_updated_when_it_has_crept_half_an_hour() -> None:
    town = Town(auto=ALL_THREE)
    incident = an_incident(PREDICTED)
    town.cycle(incident)
    for i in range(1, 13):
        town.cycle(replace(incident, starts_at=T0 + minutes(60 + 5 * i)))
    assert len(town.notice(incident).revisions) == 3  # 60 minutes of creeping are two updates


def test_drafts_are_kept_true_without_steps() -> None:
    town = Town()
    incident = an_incident()
    town.cycle(incident)
    town.cycle(replace(incident, node_ids=("A", "B")))
    notice = town.notice(incident)
    assert (notice.state, notice.node_ids) == (S.DRAFT, ("A", "B"))
    assert "B" in notice.texts["en"].headline


def test_the_end_of_a_published_incident_is_an_all_clear_once() -> None:
    town = Town(auto=ALL_THREE)
    incident = an_incident()
    town.cycle(incident)
    over = town.closed(incident)
    town.cycle(over)
    assert town.cycle(over) == []
    notice = town.notice(incident)
    assert states_of(notice) == [S.PUBLISHED, S.ALL_CLEAR]
    assert notice.ends_at == over.closed_at


def test_the_end_of_an_incident_nobody_was_told_of_cancels_its_draft() -> None:
    town = Town()
    incident = an_incident()
    town.cycle(incident)
    town.cycle(town.closed(incident))
    assert (town.notice(incident).state, town.notice(incident).revisions) == (S.CANCELLED, ())


def test_a_shelved_incident_causes_no_steps_until_the_shelf_ends() -> None:
    town = Town(auto=ALL_THREE)
    incident = shelve(an_incident(), by="ana", until=T0 + minutes(12), reason="crew is there", now=T0)
    town.cycle(incident)
    town.cycle()
    assert town.memory.kept_notices == {}
    town.cycle()
    assert town.notice(incident).state is S.PUBLISHED


def test_closing_takes_an_incident_off_the_shelf() -> None:
    town = Town(auto=ALL_THREE)
    incident = an_incident()
    town.cycle(incident)
    shelved = shelve(incident, by="ana", until=T0 + minutes(500), reason="r", now=town.clock.now())
    town.cycle(replace(shelved, node_ids=("A", "B")))
    town.cycle(town.closed(shelved))
    assert states_of(town.notice(incident)) == [S.PUBLISHED, S.ALL_CLEAR]


def test_a_cancelled_draft_stays_cancelled_while_its_incident_is_open() -> None:
    town = Town()
    incident = an_incident()
    town.cycle(incident)
    cancelled = town.board.cancel(town.notice(incident).notice_id, "ana")
    assert town.cycle(replace(incident, node_ids=("A", "B"))) == []
    assert list(town.memory.kept_notices.values()) == [cancelled]


def test_the_ends_of_all_incidents_are_told_even_when_nobody_passed_them_on() -> None:
    town = Town(auto=ALL_THREE)
    incidents = [an_incident(OBSERVED, "A", key=f"tank_empty:T{i}") for i in range(3)]
    town.cycle(*incidents)
    town.memory.save_incidents([town.closed(incident) for incident in incidents])
    town.cycle()
    assert {town.notice(incident).state for incident in incidents} == {S.ALL_CLEAR}


# ------------------------------------------------------------------------------------- a predicted cut begins


def approved_prediction() -> tuple[Town, Incident]:
    town = Town()
    predicted = an_incident(PREDICTED, "A", "B")
    town.cycle(predicted)
    notice_id = town.notice(predicted).notice_id
    town.board.approve(notice_id, "ana")
    town.board.publish(notice_id, "ana")
    return town, predicted


def test_when_a_told_cut_begins_people_are_told_at_once_and_never_all_clear() -> None:
    town, predicted = approved_prediction()
    observed = an_incident(OBSERVED, "A", "B")
    town.cycle(town.closed(predicted), observed)
    assert (town.notice(observed).state, town.notice(observed).approved_by) == (S.PUBLISHED, "ana")
    assert states_of(town.notice(predicted)) == [S.PUBLISHED, S.REPLACED]


def test_the_notice_of_the_cut_goes_out_before_the_prediction_is_taken_back() -> None:
    town, predicted = approved_prediction()
    observed = an_incident(OBSERVED, "A", "B")
    before = len(town.memory.history)
    town.cycle(town.closed(predicted), observed)
    public = [(n.kind, n.state) for n in town.memory.history[before:] if n.is_public]
    assert public == [(OBSERVED, S.PUBLISHED), (PREDICTED, S.REPLACED)]


def test_when_a_told_cut_begins_in_part_the_rest_is_updated() -> None:
    town, predicted = approved_prediction()
    observed = an_incident(OBSERVED, "A")
    town.cycle(replace(predicted, node_ids=("B",), connection_ids=("C-B",)), observed)
    assert town.notice(observed).state is S.PUBLISHED
    assert states_of(town.notice(predicted)) == [S.PUBLISHED, S.UPDATED]
    assert town.notice(predicted).connection_ids == ("C-B",)


def test_a_cut_of_another_cause_waits_for_a_person() -> None:
    town, _ = approved_prediction()
    other = an_incident(OBSERVED, "Z", key="tank_empty:T1")
    town.cycle(other)
    assert town.notice(other).state is S.DRAFT


def test_a_prediction_that_does_not_come_true_gets_its_all_clear() -> None:
    town, predicted = approved_prediction()
    town.cycle(town.closed(predicted))
    assert states_of(town.notice(predicted)) == [S.PUBLISHED, S.ALL_CLEAR]


# ------------------------------------------------------------------------------------------------- operators


def test_an_operators_steps_are_audited_with_the_name() -> None:
    town = Town()
    incident = an_incident()
    town.cycle(incident)
    notice_id = town.notice(incident).notice_id
    town.board.approve(notice_id, by="ana")
    town.board.publish(notice_id, by="rui")
    assert town.actions()[1:] == [("notice.approved", "ana"), ("notice.published", "rui")]
    assert town.notice(incident).approved_by == "ana"


def test_nothing_is_published_twice() -> None:
    town, predicted = approved_prediction()
    with pytest.raises(ConflictError):
        town.board.publish(town.notice(predicted).notice_id, "ana")
    assert len(town.notice(predicted).revisions) == 1


@pytest.mark.parametrize("verb", ["publish", "cancel", "approve"])
def test_an_unknown_notice_is_not_found(verb: str) -> None:
    with pytest.raises(NotFoundError):
        getattr(Town().board, verb)("nothing", "ana")


def test_a_notice_about_something_over_cannot_be_published() -> None:
    town = Town()
    incident = an_incident()
    town.cycle(incident)
    town.board.approve(town.notice(incident).notice_id, "ana")
    town.memory.save_incidents([town.closed(incident)])
    with pytest.raises(ConflictError, match="is over"):
        town.board.publish(town.notice(incident).notice_id, "ana")


def test_a_notice_that_cannot_be_shown_holds_up_no_other() -> None:
    def refuse_floods(notice: Notice) -> None:
        if notice.kind is FLOOD:
            raise InputError("cannot be shown")

    town = Town(auto=ALL_THREE, proof=refuse_floods)
    flood, cut = an_incident(FLOOD, key="a storm"), an_incident(OBSERVED)
    with pytest.raises(InputError, match="cannot be shown"):
        town.cycle(flood, cut)
    assert town.notice(flood).state is S.APPROVED
    assert town.notice(cut).state is S.PUBLISHED


# ------------------------------------------------------------------------------------------------- crashes


def story(town: Town, *, crash_in: int | None = None, crash_at: int = 0) -> None:
    """A cut is predicted, grows, begins, and ends; each cycle is repeated by the next one after a crash."""
    predicted, observed = an_incident(PREDICTED, "A"), an_incident(OBSERVED, "A", "B")
    turns: list[Callable[[], list[Incident]]] = [
        lambda: [predicted],
        lambda: [replace(predicted, node_ids=("A", "B"))],
        lambda: [town.closed(predicted), observed],
        list,
        lambda: [town.closed(observed)],
        list,
        list,
    ]
    for number, turn in enumerate(turns):
        town.memory.fail_at = crash_at if number == crash_in else None
        try:
            town.cycle(*turn())
        except UnavailableError:
            town.cycle()  # the change is lost to the next call: only the incidents themselves were saved
    town.memory.fail_at = None


@given(crash_in=st.integers(0, 6), crash_at=st.integers(0, 8))
def test_a_crash_between_any_two_writes_loses_no_step_and_repeats_none(crash_in: int, crash_at: int) -> None:
    calm, crashed = Town(auto=ALL_THREE), Town(auto=ALL_THREE)
    story(calm)
    story(crashed, crash_in=crash_in, crash_at=crash_at)
    assert {key: states_of(n) for key, n in crashed.memory.kept_notices.items()} == {
        key: states_of(n) for key, n in calm.memory.kept_notices.items()
    }
    audited = {(entry.action, entry.subject) for entry in crashed.memory.audit}
    assert {(f"notice.{n.state}", n.notice_id) for n in crashed.memory.history} <= audited


def test_the_story_ends_as_people_should_have_been_told() -> None:
    town = Town(auto=ALL_THREE)
    story(town)
    assert {n.kind: states_of(n) for n in town.memory.kept_notices.values()} == {
        PREDICTED: [S.PUBLISHED, S.UPDATED, S.REPLACED],
        OBSERVED: [S.PUBLISHED, S.ALL_CLEAR],
    }


# ------------------------------------------------------------------------------------------------- streets


@pytest.mark.parametrize(
    ("address", "street"),
    [
        ("Rua das Flores 12", "Rua das Flores"),
        ("Rua das Flores, 12, 3.º Esq.", "Rua das Flores"),
        ("Rua das Flores n.º 12", "Rua das Flores"),
        ("Rua das Flores 12A", "Rua das Flores"),
        ("Rua das Flores 12-14", "Rua das Flores"),
        ("Rua 31 de Janeiro", "Rua 31 de Janeiro"),
        ("Avenida 25 de Abril 7", "Avenida 25 de Abril"),
        ("", ""),
    ],
)
def test_a_street_in_a_notice_names_no_door(address: str, street: str) -> None:
    assert street_of(Customer("K", "C", "A", street=address)) == street


def test_a_notice_names_the_streets_of_its_connections_once() -> None:
    customers = [
        Customer("K1", "C-A", "A", street="Rua B 1"),
        Customer("K2", "C-B", "B", street="Rua B 2"),
        Customer("K3", "C-Z", "Z", street="Rua Z 3"),
    ]
    town = Town(customers=customers)
    incident = an_incident(OBSERVED, "A", "B")
    town.cycle(incident)
    assert town.notice(incident).streets == ("Rua B",)
