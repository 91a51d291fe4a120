"""The judge of the fault runs sees what it is there to see: each kind of wrong, once, and nothing where all is well.

Held against made-up rows first, then against an ingester that really makes the mistakes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from faults.catalogue import FAULTS
from faults.evidence import Letter, OpenGap, StoredRow
from faults.ledger import Ledger, Planned
from faults.reckoning import reckon, wrong_gaps
from faults.run import Scale, Servers, run_fault

AT = "2026-01-01T00:00:00.000001Z"
AT_US = 1_767_225_600_000_001


def a_message(n: int, *, sensor: str = "P", value: float | None = None, unit: str | None = None) -> Planned:
    item = {"observed_at": AT, "value": float(n) if value is None else value, **({"unit": unit} if unit else {})}
    return Planned(n, f"h2/g/{sensor}{n}", json.dumps(item).encode())


GOOD = a_message(1)
WRONG_UNIT = a_message(2, unit="L/s")
BROKEN = Planned(3, "h2/g/P3", b"{", is_bad=True)
RIVAL = Planned(4, GOOD.topic, a_message(4).payload)
BATCH = Planned(
    5,
    "h2/g",
    json.dumps({"readings": [{"sensor_id": s, "observed_at": AT, "value": 5.0} for s in ("A", "B")]}).encode(),
)
ROWS: list[StoredRow] = [("P1", AT_US, 1.0), ("A", AT_US, 5.0), ("B", AT_US, 5.0)]
LETTERS: list[Letter] = [
    (WRONG_UNIT.topic, WRONG_UNIT.payload, "wrong_dimension"),
    (BROKEN.topic, BROKEN.payload, "undecodable"),
    (RIVAL.topic, RIVAL.payload, "conflict"),
]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    book = Ledger(path)
    plan = [GOOD, WRONG_UNIT, BROKEN, RIVAL, BATCH]
    book.plan([*plan, a_message(9)])
    numbers = [message.n for message in plan]
    book.note_sent(numbers, 1.0)
    book.note_acknowledged(numbers, 2.0)
    book.close()
    return path


def test_all_is_well(ledger: Path) -> None:
    found = reckon([ledger], ROWS, LETTERS)
    assert found.wrongs == []
    assert (found.acknowledged, found.stored, found.dead, found.lost, found.doubled) == (6, 3, 3, 0, 0)


def test_the_rival_may_win(ledger: Path) -> None:
    letters = [*LETTERS[:2], (GOOD.topic, GOOD.payload, "conflict")]
    assert reckon([ledger], [("P1", AT_US, 4.0), *ROWS[1:]], letters).wrongs == []


def test_a_refused_batch_is_dead_as_a_whole(ledger: Path) -> None:
    letters = [*LETTERS, (BATCH.topic, BATCH.payload, "rate_limited")]
    found = reckon([ledger], ROWS[:1], letters)
    assert found.wrongs == []
    assert (found.stored, found.dead, found.rate_limited) == (1, 5, 1)


@pytest.mark.parametrize(
    ("rows", "letters", "wrong", "lost", "doubled"),
    [
        pytest.param(ROWS[1:], LETTERS, "1 are neither stored nor dead", 1, 0, id="a reading is lost"),
        pytest.param(ROWS, LETTERS[:1] + LETTERS[2:], "1 are neither stored nor dead", 1, 0, id="a letter is lost"),
        pytest.param(ROWS, LETTERS[:2], "1 are neither stored nor dead", 1, 0, id="a rival is lost"),
        pytest.param([*ROWS, ROWS[0]], LETTERS, "1 keys hold several rows", 0, 1, id="a row is doubled"),
        pytest.param(
            [*ROWS, ("P1", AT_US, 4.0)], LETTERS, "1 keys hold several rows", 0, 2, id="both rivals are stored"
        ),
        pytest.param(
            ROWS, [*LETTERS, (BATCH.topic, BATCH.payload, "replayed")], "2 are stored and dead", 0, 2, id="stored, dead"
        ),
        pytest.param(
            ROWS[1:],
            [*LETTERS, (GOOD.topic, GOOD.payload, "x")],
            "1 contested keys hold no",
            0,
            0,
            id="no rival stored",
        ),
        pytest.param(
            ROWS[:1], [*LETTERS, (BATCH.topic, BATCH.payload, "x")], "2 good readings are dead", 0, 0, id="good, dead"
        ),
        pytest.param([*ROWS, ("P9", AT_US, 9.0)], LETTERS, "1 rows were never sent", 0, 0, id="a row is made up"),
        pytest.param(
            [("P1", AT_US, 1.5), *ROWS[1:]], LETTERS, "1 are neither stored nor dead", 1, 0, id="a value is changed"
        ),
        pytest.param(ROWS, [*LETTERS, ("x", b"y", "z")], "1 letters were never sent", 0, 0, id="a letter is made up"),
    ],
)
def test_what_is_wrong_is_seen(
    ledger: Path, rows: list[StoredRow], letters: list[Letter], wrong: str, lost: int, doubled: int
) -> None:
    found = reckon([ledger], rows, letters)
    assert any(said.startswith(wrong) for said in found.wrongs), found.wrongs
    assert (found.lost, found.doubled) == (lost, doubled)


def test_an_unconfirmed_message_may_be_missing_or_there(ledger: Path) -> None:
    book = Ledger(ledger)
    book.note_sent([9], 3.0)
    book.close()
    assert reckon([ledger], ROWS, LETTERS).lost == 0
    assert reckon([ledger], [*ROWS, ("P9", AT_US, 9.0)], LETTERS).wrongs == []


def test_what_the_broker_may_have_forgotten_is_unconfirmed_and_still_acknowledged(ledger: Path) -> None:
    book = Ledger(ledger)
    assert book.doubt(since=2.5) == []
    assert book.doubt(since=2.0) == [1, 2, 3, 4, 5]
    book.close()
    assert reckon([ledger], ROWS[1:], LETTERS).lost == 1


@pytest.mark.parametrize(
    ("gap", "is_wrong"),
    [
        pytest.param(("P2", AT_US - 10, AT_US + 10, 1), False, id="a dead letter lies in it"),
        pytest.param(("P2", AT_US - 10, AT_US + 10, 2), True, id="it misses more than the dead letter"),
        pytest.param(("P2", AT_US, AT_US + 10, 1), True, id="the dead letter lies at its edge"),
        pytest.param(("P1", AT_US - 10, AT_US + 10, 1), True, id="the dead letter is of another sensor"),
        pytest.param(("P4", AT_US - 10, AT_US + 10, 1), True, id="the dead letter only contradicts"),
    ],
)
def test_a_gap_may_be_open_only_around_dead_letters(gap: OpenGap, is_wrong: bool) -> None:
    letters = [*LETTERS, ("h2/g/P4", RIVAL.payload, "conflict")]
    assert wrong_gaps([gap], letters) == ([gap] if is_wrong else [])


@pytest.mark.needs_mosquitto
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("sabotage", "wrongs"),
    [
        ("acknowledge_first", ["are neither stored nor dead"]),
        ("lose_a_reading,store_twice", ["are neither stored nor dead", "rows were never sent"]),
    ],
)
def test_an_ingester_that_makes_mistakes_is_found_out(
    sabotage: str, wrongs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTS_SABOTAGE", sabotage)
    monkeypatch.setattr("faults.stand._NO_GROWTH_S", 1.0)
    monkeypatch.setattr("faults.stand._GAPS_CLOSED_WITHIN_S", 1.0)
    (kills,) = (fault for fault in FAULTS if fault.name == "kill -9 of the ingester")
    outcome = run_fault(kills, Scale(messages=1000), seed=1, folder=tmp_path, servers=Servers())
    assert all(any(wrong in said for said in outcome.wrongs) for wrong in wrongs), outcome.wrongs
