"""Scenarios as jobs: asked for, worked on, answered and kept, so that they can be compared later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class JobState(StrEnum):
    """How far a job has come."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = (JobState.QUEUED, JobState.RUNNING)
MOST_OPEN = 50
"""Jobs that may wait or run at once; more are refused, and nothing is lost."""


@dataclass(frozen=True, slots=True)
class ScenarioJob:
    """A batch of scenarios. `asked` is what was asked for as JSON, `runs_done` of `runs` counts their base runs too.

    `model_sha256` names the model they ran on, empty as long as none did. `detail` says why a job failed, or what else
    is to be known about it.
    """

    job_id: str
    asked_at: datetime
    asked_by: str
    asked: str
    state: JobState = JobState.QUEUED
    runs: int = 0
    runs_done: int = 0
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    model_sha256: str = ""
    detail: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it waits or is worked on."""
        return self.state in OPEN
