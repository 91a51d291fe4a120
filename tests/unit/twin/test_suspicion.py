"""When the model is asked what explains residuals, and what becomes of its answers; on real stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cycle_parts import EMPTY, T0, Town, a_town, hour

from twin.forecasts import ForecastSeries, Provenance, SupplyForecast
from twin.incidents import Incident, IncidentKind, Severity
from twin.mismatch import Candidate, Mismatch, Verdict
from twin.network import Network
from twin.ports import MismatchQuestion, SupplyRequest
from twin.readings import ElementType, Reading, Sensor
from twin.suspicion import ASKED_AT_LEAST_EVERY, PATIENT_FOR, Suspected, Suspicion
from twin.units import Quantity

P1 = Sensor("P1", Quantity.PRESSURE, element_type=ElementType.NODE, element_id="J1", expected_every_s=3600)
CLOSED = Candidate("closed", "V1", 0.95, 2.0)
NAMED = Mismatch(Verdict.STATUS, 4, (("J1", -3.0),), CLOSED, ("V2",), (CLOSED,))
UNCLEAR = Mismatch(Verdict.AMBIGUOUS, 4, (("J1", -3.0),), None, (), (CLOSED,))


@dataclass
class FakeModel:
    """Answers what it is told to."""

    answer: Mismatch = NAMED
    questions: list[MismatchQuestion] = field(default_factory=list)
    network: Network = EMPTY

    def run(self, request: SupplyRequest) -> SupplyForecast:
        raise NotImplementedError

    def mismatch(self, question: MismatchQuestion) -> Mismatch:
        self.questions.append(question)
        return self.answer


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with a_town(tmp_path, P1) as one:
        yield one


@dataclass
class Life:
    """Hours of one sensor: the model says 40 m, the sensor reads that and its residual."""

    town: Town
    model: FakeModel
    suspicion: Suspicion
    incidents: list[Incident] = field(default_factory=list)
    model_hash: str = "h"

    def turn(self, at: float, residual_m: float) -> Suspected:
        now = hour(at)
        reading = Reading("P1", now, now, 40.0 + residual_m, "m", 40.0 + residual_m, "m")
        self.town.readings.append([reading])
        series = (ForecastSeries("node", "J1", "pressure", (40.0, 40.0)),)
        forecast = SupplyForecast(
            f"run-{at}",
            now,
            (now, now + timedelta(hours=1)),
            Provenance("m", self.model_hash, "e"),
            10.0,
            series=series,
        )
        return self.suspicion.follow(forecast, self.model, {"P1": P1}, {"P1": reading}, self.incidents)

    def turns(self, first: int, last: int, residual_m: float) -> list[Suspected]:
        return [self.turn(at, residual_m + 0.01 * (at % 3)) for at in range(first, last)]


@pytest.fixture
def life(town: Town) -> Life:
    return Life(town, FakeModel(), Suspicion(town.readings, town.registry))


def an_incident(key: str, started_at: float) -> Incident:
    return Incident(
        "i-1", IncidentKind.STATUS_MISMATCH, key, "V closed", Severity.MODERATE, 0.7, hour(started_at + 3),
        hour(started_at + 3), starts_at=hour(started_at),
    )  # fmt: skip


def test_an_ordinary_sensor_asks_nothing_and_is_judged(life: Life) -> None:
    suspected = life.turns(0, 40, 0.1)
    assert life.model.questions == []
    assert all(one.mismatch is None and one.findings == () for one in suspected)
    assert [one.judged for one in (suspected[20], suspected[-1])] == [False, True]  # too little is known at first


def test_two_searches_that_agree_are_a_finding(life: Life) -> None:
    life.turns(0, 40, 0.1)
    suspected = life.turns(40, 44, -3.0)
    first = next(n for n, one in enumerate(suspected) if one.mismatch is not None)
    assert suspected[first].findings == ()
    (finding,) = suspected[first + 1].findings
    assert (finding.kind, finding.cause_key) == (IncidentKind.STATUS_MISMATCH, "status:V1")
    assert finding.sensor_ids == ("P1",)
    assert not suspected[first + 1].judged


def test_a_finding_keeps_the_key_of_its_incident(life: Life) -> None:
    life.turns(0, 40, 0.1)
    life.incidents = [an_incident("status:V2", 40)]
    (finding,) = life.turns(40, 44, -3.0)[-1].findings
    assert finding.cause_key == "status:V2"  # no residual tells V1 from V2


@pytest.mark.parametrize("answer", [UNCLEAR, Mismatch(Verdict.LEAK, 4, named=Candidate("leak", "J1", 0.9, 1.0, 0.01))])
def test_what_is_no_status_is_told_and_neither_opens_nor_closes(life: Life, answer: Mismatch) -> None:
    life.model.answer = answer
    life.turns(0, 40, 0.1)
    for suspected in life.turns(40, 48, -3.0)[3:]:
        assert (suspected.mismatch, suspected.findings, suspected.judged) == (answer, (), False)


def test_the_question_names_the_ordinary_time_before_and_brings_its_readings(life: Life) -> None:
    life.turns(0, 40, 0.1)
    life.turns(40, 43, -3.0)
    question = life.model.questions[0]
    assert question.usual_to <= hour(40)
    assert question.at <= hour(42)
    assert [reading.observed_at for reading in question.history["P1"]][:2] == [T0, hour(1)]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_lasts_does_not_become_usual(life: Life, restarted: bool) -> None:
    life.turns(0, 40, 0.1)
    life.turns(40, 44, -3.0)
    life.incidents = [an_incident("status:V1", 38)]
    if restarted:
        life.suspicion = Suspicion(life.town.readings, life.town.registry)
    suspected = life.turns(44, 140, -3.0)  # four days: longer than all that was ordinary
    assert not any(one.judged for one in suspected)
    assert suspected[-1].findings != ()
    ended = life.turns(140, 148, 0.1)
    assert ended[-1].judged
    assert ended[-1].findings == ()


def test_another_model_is_learned_anew(life: Life) -> None:
    life.turns(0, 40, 0.1)
    life.model_hash = "another"
    assert [one.mismatch for one in life.turns(40, 60, -3.0)] == [None] * 20
    assert life.model.questions == []


def test_without_an_answer_the_model_is_asked_less_and_less_often(life: Life) -> None:
    life.model.answer = UNCLEAR
    life.turns(0, 40, 0.1)
    life.turns(40, 100, -3.0)
    asked = [question.at for question in life.model.questions]
    between = [after - before for before, after in pairwise(asked)]
    assert between[:PATIENT_FOR] == [timedelta(hours=1)] * PATIENT_FOR
    assert between[-1] == ASKED_AT_LEAST_EVERY
    assert sorted(between) == between
