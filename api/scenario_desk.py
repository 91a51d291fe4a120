"""Works on jobs of scenarios, one after the other, in one process of the installation at a time.

A job that was being worked on when its process ended waits again: what it answers does not depend on when it runs.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from models.supply.scenarios.batch import Batch
from twin.clock import Clock, format_time
from twin.customers import Sensitivity, customers_at
from twin.errors import ConflictError, NotFoundError, TwinError
from twin.network import NetworkKind
from twin.ports import ModelFile, Registry
from twin.scenario_jobs import JobState, ScenarioJob
from twin.scenarios import Scenario

if TYPE_CHECKING:
    from models.supply.scenarios.present import Present

log = structlog.get_logger()

START_NOW = "now"

LEASE = "scenarios"
LEASE_S = 30.0
LOOK_EVERY_S = 1.0

Say = Callable[[str], None]
Answers = Callable[[bytes, Sequence[Scenario], "Present | None", Say], Generator[dict[str, Any], None, None]]
Presents = Callable[[datetime, int, int], "Present"]


class ScenarioDesk:
    """A thread that takes jobs, and one that keeps the lease meanwhile.

    `answers` runs scenarios of an INP, in order, and says what an operator should know about how it does; `presents`
    gives the network's state at a moment, for a horizon in seconds and a number of members.
    """

    def __init__(self, registry: Registry, clock: Clock, answers: Answers, presents: Presents) -> None:
        self._registry, self._clock, self._answers, self._presents = registry, clock, answers, presents
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{id(self)}"
        self._stop, self._news, self._is_ours = threading.Event(), threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name="scenarios", daemon=True),
            threading.Thread(target=self._keep_lease, name="scenarios-lease", daemon=True),
        ]

    def start(self) -> None:
        """Begin to work as soon as the lease is ours."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; a job in hand is given back, and begun again by the next process."""
        self._stop.set()
        self._news.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(60.0)
        try:
            self._registry.release_lease(LEASE, self._holder)
        except TwinError as error:
            log.warning("lease not given back", cause=str(error))

    def wake(self) -> None:
        """Say that there is a new job."""
        self._news.set()

    def _keep_lease(self) -> None:
        while not self._stop.is_set():
            try:
                held = self._registry.acquire_lease(LEASE, self._holder, ttl_s=LEASE_S, now=self._clock.now())
                if held and not self._is_ours.is_set():
                    self._registry.requeue_scenario_jobs()
                    self._is_ours.set()
                    self._news.set()
                elif not held:
                    self._is_ours.clear()
            except TwinError as error:
                self._is_ours.clear()
                log.warning("lease of the scenarios", cause=str(error))
            self._stop.wait(LEASE_S / 3 if self._is_ours.is_set() else LOOK_EVERY_S)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._news.wait(LOOK_EVERY_S)
            self._news.clear()
            while self._is_ours.is_set() and not self._stop.is_set() and self._take():
                pass

    def _take(self) -> bool:
        """Work on the job that has waited longest; return whether there was one."""
        try:
            job = self._registry.take_scenario_job(now=self._clock.now())
        except TwinError as error:
            log.warning("no scenario job could be taken", cause=str(error))
            return False
        if job is None:
            return False
        try:
            self._do(job)
        except TwinError as error:
            self._end(job, JobState.FAILED, detail=str(error))
        except Exception as error:  # a defect of ours must not end the service
            log.exception("scenario job failed unexpectedly", job_id=job.job_id)
            self._end(job, JobState.FAILED, detail=f"unexpected {type(error).__name__}: {error}")
        return True

    def _do(self, job: ScenarioJob) -> None:
        file = self._registry.model_file(NetworkKind.SUPPLY)
        if file is None:
            raise NotFoundError("no supply network is imported; `h2twin import network FILE` does it")
        asked = json.loads(job.asked)
        batch = Batch.of(asked["scenarios"])
        present = self._present(job, batch, asked["members"]) if asked["start"] == START_NOW else None
        told: list[str] = []
        answers = self._worked_out(job, batch, file, present, told)
        if answers is None:
            return
        outcome = batch.outcome(answers)
        for answer in outcome["scenarios"]:
            if "error" not in answer:
                answer["customers"] = self._customers(answer["against_base"]["newly_short"])
        state = {} if present is None else {"state_at": format_time(job.asked_at), "state_basis": present.state.basis}
        result = json.dumps(
            {"job_id": job.job_id, "model_sha256": file.sha256, "start": asked["start"], **state, **outcome},
            allow_nan=False,
        )
        self._end(job, JobState.DONE, detail="; ".join(told), result=result.encode())

    def _present(self, job: ScenarioJob, batch: Batch, members: int) -> Present:
        """Return the network's state when the job was asked for: it stays that, whenever the job is worked on."""
        longest_s = max(scenario.duration_s for scenario in batch.asked)
        return self._presents(job.asked_at, longest_s, members)

    def _worked_out(
        self, job: ScenarioJob, batch: Batch, file: ModelFile, present: Present | None, told: list[str]
    ) -> list[dict[str, Any]] | None:
        """Return the answers of all runs, or None if the job was cancelled, or we are to stop, meanwhile."""

        def say(text: str) -> None:
            told.append(text)
            log.warning("scenarios", job_id=job.job_id, told=text)

        done: list[dict[str, Any]] = []
        with closing(self._answers(file.content, batch.runs, present, say)) as answers:
            while self._goes_on(job, len(batch.runs), len(done), file.sha256):
                answer = next(answers, None)
                if answer is None:
                    return done
                done.append(answer)
        return None

    def _goes_on(self, job: ScenarioJob, runs: int, done: int, sha256: str) -> bool:
        if self._stop.is_set():
            return False
        return self._registry.note_scenario_progress(job.job_id, runs=runs, runs_done=done, model_sha256=sha256)

    def _customers(self, nodes: Sequence[str]) -> dict[str, int]:
        """Return how many customers hang on nodes, and how many of these are sensitive; not who they are."""
        hit = customers_at(self._registry.customers(), nodes)
        sensitive = [customer for customer in hit if customer.sensitive is not Sensitivity.NONE]
        return {"newly_short": len(hit), "newly_short_sensitive": len(sensitive)}

    def _end(self, job: ScenarioJob, state: JobState, *, detail: str = "", result: bytes | None = None) -> None:
        try:
            self._registry.end_scenario_job(job.job_id, state, now=self._clock.now(), detail=detail, result=result)
        except ConflictError:  # cancelled, or done by another process meanwhile
            log.info("scenario job had ended already", job_id=job.job_id)
        except TwinError as error:
            log.error("scenario job could not be ended; it will be run again", job_id=job.job_id, cause=str(error))
