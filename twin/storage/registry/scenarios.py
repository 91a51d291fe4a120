"""Jobs of scenarios and their results."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from twin.errors import ConflictError, NotFoundError
from twin.ports import Page
from twin.scenario_jobs import MOST_OPEN, OPEN, JobState, ScenarioJob
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part
from twin.storage.registry.schema import scenario_jobs as table

_LISTING = Listing("scenario_jobs", table.c.asked_at, table.c.job_id)
_KEPT = [column for column in table.columns if column.name != "result"]
_OPEN = table.c.state.in_([str(state) for state in OPEN])


class SqlScenarios(Part):
    """Fulfils `twin.ports.ScenarioLog`."""

    def add_scenario_job(self, job: ScenarioJob) -> None:
        """Keep a new job, unless too many are open or the id is taken."""
        with self._database.write() as connection:
            if connection.execute(select(func.count()).where(_OPEN)).scalar_one() >= MOST_OPEN:
                raise ConflictError(f"{MOST_OPEN} scenario jobs wait or run already: cancel some, or wait")
            if _row(connection, job.job_id) is not None:
                raise ConflictError(f"there is a scenario job {job.job_id} already")
            connection.execute(insert(table), [{**asdict(job), "state": str(job.state)}])

    def scenario_job(self, job_id: str) -> ScenarioJob | None:
        """Return a job, or None."""
        with self._database.read() as connection:
            row = _row(connection, job_id)
        return None if row is None else _job(row)

    def scenario_jobs(
        self, *, states: Sequence[JobState] | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[ScenarioJob]:
        """List jobs by when they were asked for, newest first."""
        query = select(*_KEPT)
        if states is not None:
            query = query.where(table.c.state.in_([str(state) for state in states]))
        with self._database.read() as connection:
            return _LISTING.page(connection, query, _job, limit=limit, cursor=cursor)

    def requeue_scenario_jobs(self) -> int:
        """Let jobs that were being worked on wait again."""
        running = table.c.state == str(JobState.RUNNING)
        with self._database.write() as connection:
            waiting = {"state": str(JobState.QUEUED), "runs_done": 0, "begun_at": None}
            return connection.execute(update(table).where(running).values(waiting)).rowcount

    def take_scenario_job(self, *, now: datetime) -> ScenarioJob | None:
        """Begin the job that has waited longest, or None."""
        waiting = select(*_KEPT).where(table.c.state == str(JobState.QUEUED))
        with self._database.write() as connection:
            row = connection.execute(waiting.order_by(table.c.asked_at, table.c.job_id).limit(1)).one_or_none()
            if row is None:
                return None
            begun = {"state": str(JobState.RUNNING), "begun_at": now}
            connection.execute(update(table).where(table.c.job_id == row.job_id).values(begun))
            taken = _row(connection, row.job_id)
        return None if taken is None else _job(taken)

    def note_scenario_progress(self, job_id: str, *, runs: int, runs_done: int, model_sha256: str) -> bool:
        """Keep how far a job has come; False if it is no longer to be worked on."""
        running = (table.c.job_id == job_id) & (table.c.state == str(JobState.RUNNING))
        progress = {"runs": runs, "runs_done": runs_done, "model_sha256": model_sha256}
        with self._database.write() as connection:
            return connection.execute(update(table).where(running).values(progress)).rowcount == 1

    def end_scenario_job(
        self, job_id: str, state: JobState, *, now: datetime, detail: str = "", result: bytes | None = None
    ) -> ScenarioJob:
        """End an open job, once, with its result if there is one."""
        packed = None if result is None else zlib.compress(result)
        ended = {"state": str(state), "ended_at": now, "detail": detail, "result": packed}
        with self._database.write() as connection:
            job = _existing(connection, job_id)
            if not job.is_open:
                raise ConflictError(f"scenario job {job_id} has ended already: {job.state}")
            connection.execute(update(table).where(table.c.job_id == job_id).values(ended))
            return _existing(connection, job_id)

    def scenario_result(self, job_id: str) -> bytes | None:
        """Return what a job answered, as JSON, or None."""
        with self._database.read() as connection:
            packed = connection.execute(select(table.c.result).where(table.c.job_id == job_id)).scalar_one_or_none()
        return None if packed is None else zlib.decompress(packed)

    def drop_scenario_job(self, job_id: str) -> None:
        """Forget a job that has ended."""
        with self._database.write() as connection:
            if _existing(connection, job_id).is_open:
                raise ConflictError(f"scenario job {job_id} is not done: cancel it first")
            connection.execute(delete(table).where(table.c.job_id == job_id))


def _row(connection: Connection, job_id: str) -> Row[Any] | None:
    return connection.execute(select(*_KEPT).where(table.c.job_id == job_id)).one_or_none()


def _existing(connection: Connection, job_id: str) -> ScenarioJob:
    row = _row(connection, job_id)
    if row is None:
        raise NotFoundError(f"there is no scenario job {job_id}")
    return _job(row)


def _job(row: Row[Any]) -> ScenarioJob:
    kept = dict(row._mapping)
    return ScenarioJob(**{**kept, "state": JobState(kept["state"])})
