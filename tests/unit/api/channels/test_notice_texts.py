"""The words of notices, read as people read them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from api.channels.texts import TextWriter
from twin.incidents import Incident, IncidentKind, Severity
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText

OBSERVED, PREDICTED, FLOOD = IncidentKind.OUTAGE_OBSERVED, IncidentKind.OUTAGE_PREDICTED, IncidentKind.FLOOD_PREDICTED
T0 = datetime(2026, 7, 15, 6, 0, tzinfo=UTC)
S = NoticeState


def an_incident(kind: IncidentKind = PREDICTED, key: str = "tank_empty:T7") -> Incident:
    return Incident("i1", kind, key, "tank T7 empty", Severity.SEVERE, 0.42, T0, T0)


def a_notice(kind: IncidentKind = PREDICTED) -> Notice:
    return Notice(
        "n1", "i1", kind, NoticeStatus.ACTUAL, Severity.SEVERE, S.DRAFT, T0, T0, {},
        datetime(2026, 7, 15, 12, 30, tzinfo=UTC), None, ("J1", "J2"), ("C1", "C2"), ("Rua B", "Rua D"),
    )  # fmt: skip


def write(
    notice: Notice, incident: Incident | None = None, to: NoticeState = S.PUBLISHED, zone: str = "Europe/Lisbon"
) -> tuple[NoticeText, NoticeText]:
    texts = TextWriter(ZoneInfo(zone)).write(incident or an_incident(notice.kind), notice=notice, to=to)
    return texts["pt"], texts["en"]


def test_a_predicted_cut_says_what_where_when_why_and_what_to_do() -> None:
    pt, en = write(a_notice())
    assert pt.headline == "Corte de água previsto: Rua B e mais 1"
    assert pt.description == (
        "Prevemos uma interrupção do abastecimento de água. Onde: Rua B, Rua D. "
        "Início: quarta-feira, 15 de julho de 2026, 13:30. Fim previsto: desconhecido. "
        "Motivo: um reservatório fica sem água."
    )
    assert "Guarde água" in pt.instruction
    assert en.headline == "Water cut expected: Rua B and 1 more"
    assert en.description == (
        "We expect the water supply to be interrupted. Where: Rua B, Rua D. "
        "Start: Wednesday 15 July 2026, 13:30. Expected end: unknown. Cause: a storage tank runs empty."
    )
    assert "Store water" in en.instruction


@pytest.mark.parametrize(
    ("moment", "zone", "shown"),
    [
        (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), "Europe/Lisbon", "Sunday 29 March 2026, 00:30"),
        (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "Europe/Lisbon", "Sunday 29 March 2026, 02:30"),
        (datetime(2026, 1, 10, 23, 30, tzinfo=UTC), "Atlantic/Azores", "Saturday 10 January 2026, 22:30"),
    ],
    ids=["before summer time", "after it began", "another zone"],
)
def test_times_are_those_of_the_installations_zone(moment: datetime, zone: str, shown: str) -> None:
    _, en = write(replace(a_notice(), starts_at=moment), zone=zone)
    assert f"Start: {shown}." in en.description


@pytest.mark.parametrize(
    ("changes", "kind", "pt_where", "en_where"),
    [
        ({"districts": ("DMA1",)}, PREDICTED, "zona DMA1.", "district DMA1."),
        ({}, PREDICTED, "2 pontos da rede de abastecimento.", "2 points of the supply network."),
        ({"node_ids": ("N1",)}, FLOOD, "1 ponto da rede de drenagem.", "1 point of the drainage network."),
    ],
    ids=["districts", "places of the supply network", "one place of the drainage network"],
)
def test_without_streets_it_names_the_next_best(
    changes: dict[str, object], kind: IncidentKind, pt_where: str, en_where: str
) -> None:
    pt, en = write(replace(a_notice(kind), streets=(), **changes))  # type: ignore[arg-type]
    assert f"Onde: {pt_where}" in pt.description
    assert f"Where: {en_where}" in en.description


def test_long_lists_of_streets_are_cut_and_say_how_many_more() -> None:
    streets = tuple(f"Rua {i:03}" for i in range(25))
    pt, en = write(replace(a_notice(), streets=streets))
    assert "Rua 019 e mais 5" in pt.description
    assert "Rua 019 and 5 more" in en.description
    assert "Rua 020" not in en.description


@pytest.mark.parametrize(("connections", "shown"), [(14, False), (15, True)])
def test_counts_below_fifteen_are_withheld(connections: int, shown: bool) -> None:
    pt, en = write(replace(a_notice(), connection_ids=tuple(f"C{i}" for i in range(connections))))
    assert (f"({connections} ligações)" in pt.description) is shown
    assert (f"({connections} connections)" in en.description) is shown


@pytest.mark.parametrize("kind", [OBSERVED, PREDICTED, FLOOD])
@pytest.mark.parametrize("to", [S.PUBLISHED, S.UPDATED, S.ALL_CLEAR])
def test_no_id_is_shown_and_nothing_is_left_open(kind: IncidentKind, to: NoticeState) -> None:
    notice = replace(a_notice(kind), node_ids=("SECRET1",), connection_ids=("SECRET2",), streets=())
    for text in write(notice, an_incident(kind, "SECRET3:SECRET4"), to=to):
        for words in (text.headline, text.description, text.instruction):
            assert words
            assert "SECRET" not in words
            assert "{" not in words
            assert "None" not in words


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("tank_empty:T7", "a storage tank runs empty"),
        ("pump_down:PU1", "a pumping station has stopped"),
        ("closed:P12", "a main or valve is closed"),
        ("low_pressure:DMA1", "the pressure in the network is too low"),
        ("something new", "being looked into"),
    ],
)
def test_the_cause_is_told_in_plain_words_without_naming_the_asset(key: str, reason: str) -> None:
    _, en = write(a_notice(), an_incident(PREDICTED, key))
    assert en.description.endswith(f"Cause: {reason}.")


def test_a_flood_says_how_probable_it_is() -> None:
    pt, en = write(a_notice(FLOOD))
    assert "Probabilidade: 42%." in pt.description
    assert "Probability: 42%." in en.description


@pytest.mark.parametrize("to", [S.PUBLISHED, S.UPDATED, S.ALL_CLEAR, S.REPLACED])
def test_an_exercise_says_so_first_in_every_text(to: NoticeState) -> None:
    pt, en = write(replace(a_notice(), status=NoticeStatus.EXERCISE), to=to)
    for words in (pt.headline, pt.description, pt.instruction):
        assert words.startswith("EXERCÍCIO - ")
    for words in (en.headline, en.description, en.instruction):
        assert words.startswith("EXERCISE - ")


def test_an_update_says_that_it_is_one() -> None:
    pt, en = write(a_notice(), to=S.UPDATED)
    assert pt.headline.startswith("Atualização: ")
    assert en.headline.startswith("Update: ")


@pytest.mark.parametrize(
    ("kind", "to", "headline"),
    [
        (OBSERVED, S.ALL_CLEAR, "The water is back: Rua B and 1 more"),
        (PREDICTED, S.ALL_CLEAR, "The expected water cut is no longer expected: Rua B and 1 more"),
        (PREDICTED, S.REPLACED, "A newer notice replaces this one: Rua B and 1 more"),
        (FLOOD, S.ALL_CLEAR, "The risk of flooding has passed: Rua B and 1 more"),
    ],
)
def test_each_end_has_its_own_words(kind: IncidentKind, to: NoticeState, headline: str) -> None:
    assert write(a_notice(kind), to=to)[1].headline == headline
