"""Jobs of scenarios."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.base import In, Out, example
from twin.scenario_jobs import JobState


class ScenariosIn(In):
    """Scenarios to run together, in the words of docs/scenarios.md.

    They start with the model's own time 0, or with the network as it is `now`; then `members` other courses of demand
    can be run too.
    """

    model_config = example(
        {
            "scenarios": [
                {
                    "name": "burst in Station Road",
                    "hours": 24,
                    "actions": [{"kind": "burst", "node": "N-JUNCTION-7", "diameter_mm": 80, "until_h": 1.5}],
                }
            ],
            "start": "now",
            "members": 20,
        },
        In,
    )

    scenarios: list[dict[str, Any]] = Field(min_length=1, max_length=1000)
    start: Literal["model", "now"] = "model"
    members: int = Field(0, ge=0, le=200)


class ScenarioJobOut(Out):
    """How far a job has come. `runs` counts the base runs too; `detail` says why it failed, or what else is to be
    known about it."""

    model_config = example(
        {
            "job_id": "S-3f1c7a90",
            "state": "running",
            "asked_at": "2026-03-01T03:00:00Z",
            "asked_by": "night shift (k1)",
            "begun_at": "2026-03-01T03:00:01Z",
            "ended_at": None,
            "runs": 12,
            "runs_done": 5,
            "model_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "detail": "",
        }
    )

    job_id: str
    state: JobState
    asked_at: datetime
    asked_by: str
    begun_at: datetime | None
    ended_at: datetime | None
    runs: int
    runs_done: int
    model_sha256: str
    detail: str
