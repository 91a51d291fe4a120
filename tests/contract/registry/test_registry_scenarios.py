"""Jobs of scenarios, on every registry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from twin.errors import ConflictError, NotFoundError
from twin.scenario_jobs import MOST_OPEN, JobState, ScenarioJob
from twin.storage.registry import SqlRegistry

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def a_job(number: int = 1) -> ScenarioJob:
    return ScenarioJob(f"S-{number:03}", T0 + timedelta(minutes=number), "night shift (k1)", '[{"name": "ç"}]', runs=3)


def test_a_job_waits_runs_and_ends_once_with_its_result(registry: SqlRegistry) -> None:
    registry.add_scenario_job(a_job())
    assert registry.scenario_job("S-001") == a_job()
    taken = registry.take_scenario_job(now=T0 + timedelta(hours=1))
    assert taken == replace(a_job(), state=JobState.RUNNING, begun_at=T0 + timedelta(hours=1))
    assert registry.take_scenario_job(now=T0) is None
    assert registry.note_scenario_progress("S-001", runs=4, runs_done=2, model_sha256="abc")
    assert registry.scenario_result("S-001") is None
    ended = registry.end_scenario_job("S-001", JobState.DONE, now=T0 + timedelta(hours=2), result=b'{"a": 1}')
    assert (ended.state, ended.runs, ended.runs_done, ended.model_sha256) == (JobState.DONE, 4, 2, "abc")
    assert ended.ended_at == T0 + timedelta(hours=2)
    assert registry.scenario_result("S-001") == b'{"a": 1}'
    with pytest.raises(ConflictError, match="S-001 has ended already: done"):
        registry.end_scenario_job("S-001", JobState.CANCELLED, now=T0)
    assert not registry.note_scenario_progress("S-001", runs=4, runs_done=3, model_sha256="abc")
    assert registry.scenario_job("S-001") == ended


def test_the_oldest_is_taken_first_and_the_newest_listed_first(registry: SqlRegistry) -> None:
    for number in (2, 1, 3):
        registry.add_scenario_job(a_job(number))
    first = registry.take_scenario_job(now=T0)
    assert first is not None
    assert first.job_id == "S-001"
    page = registry.scenario_jobs(limit=2)
    assert [job.job_id for job in page.items] == ["S-003", "S-002"]
    assert [job.job_id for job in registry.scenario_jobs(cursor=page.next_cursor).items] == ["S-001"]
    assert [job.job_id for job in registry.scenario_jobs(states=[JobState.RUNNING]).items] == ["S-001"]


def test_what_was_being_worked_on_waits_again(registry: SqlRegistry) -> None:
    for number in (1, 2):
        registry.add_scenario_job(a_job(number))
    registry.take_scenario_job(now=T0)
    registry.note_scenario_progress("S-001", runs=3, runs_done=2, model_sha256="")
    assert registry.requeue_scenario_jobs() == 1
    assert registry.scenario_job("S-001") == a_job()
    assert registry.requeue_scenario_jobs() == 0


def test_a_cancelled_job_is_neither_taken_nor_carried_on(registry: SqlRegistry) -> None:
    for number in (1, 2):
        registry.add_scenario_job(a_job(number))
    registry.end_scenario_job("S-001", JobState.CANCELLED, now=T0)
    taken = registry.take_scenario_job(now=T0)
    assert taken is not None
    assert taken.job_id == "S-002"
    registry.end_scenario_job("S-002", JobState.CANCELLED, now=T0)
    assert not registry.note_scenario_progress("S-002", runs=3, runs_done=1, model_sha256="")


def test_too_many_are_refused_and_an_id_is_taken_once(registry: SqlRegistry) -> None:
    registry.add_scenario_job(a_job(0))
    with pytest.raises(ConflictError, match="there is a scenario job S-000 already"):
        registry.add_scenario_job(a_job(0))
    for number in range(1, MOST_OPEN):
        registry.add_scenario_job(a_job(number))
    with pytest.raises(ConflictError, match="50 scenario jobs wait or run already"):
        registry.add_scenario_job(a_job(MOST_OPEN))
    registry.end_scenario_job("S-000", JobState.FAILED, now=T0, detail="no network")
    registry.add_scenario_job(a_job(MOST_OPEN))


def test_only_what_has_ended_can_be_forgotten(registry: SqlRegistry) -> None:
    registry.add_scenario_job(a_job())
    with pytest.raises(ConflictError, match="not done: cancel it first"):
        registry.drop_scenario_job("S-001")
    registry.end_scenario_job("S-001", JobState.CANCELLED, now=T0)
    registry.drop_scenario_job("S-001")
    assert registry.scenario_job("S-001") is None
    with pytest.raises(NotFoundError):
        registry.drop_scenario_job("S-001")
    with pytest.raises(NotFoundError):
        registry.end_scenario_job("S-001", JobState.DONE, now=T0)
