"""What if: scenarios as jobs, with progress, results beside the base run, and comparisons."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api import problems
from api.auth import Operator, Viewer, audit, services_of
from api.routes.query import Cursor, Id, Limit
from api.scenario_desk import START_NOW
from api.schemas.base import PageOut, page_out
from api.schemas.scenarios import ScenarioJobOut, ScenariosIn
from api.services import Services
from twin.errors import ConflictError, InputError, NotFoundError
from twin.network import NetworkKind
from twin.scenario_jobs import JobState, ScenarioJob

router = APIRouter(tags=["scenarios"], responses=problems.documented((404, 409)))

_LOOK_EVERY_S = 0.25
_SIGN_OF_LIFE_EVERY = 60

Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=200, description="Sent again with the same key: the same job."),
]
Name = Annotated[str, Query(min_length=1, max_length=200)]


@router.post("/scenarios", status_code=202)
def ask(request: Request, response: Response, caller: Operator, asked: ScenariosIn, key: Key = None) -> ScenarioJobOut:
    """Run scenarios of the imported supply network, each beside its base run, from the model's time 0 or from now."""
    from models.supply.scenarios.batch import Batch

    services = services_of(request)
    if services.network(NetworkKind.SUPPLY) is None:
        raise NotFoundError("no supply network is imported; `h2twin import network FILE` does it")
    batch = Batch.of(asked.scenarios)
    if asked.members and asked.start != START_NOW:
        raise InputError('members are courses of demand from now on: ask for them with "start": "now"')
    job_id = f"S-{hashlib.sha256(f'{caller.key_id}/{key}'.encode()).hexdigest()[:16] if key else secrets.token_hex(8)}"
    words = json.dumps(asked.model_dump(), allow_nan=False)
    known = services.registry.scenario_job(job_id)
    if known is None:
        known = ScenarioJob(job_id, services.clock.now(), caller.actor, words, runs=len(batch.runs))
        services.registry.add_scenario_job(known)
        audit(services, caller.actor, "scenarios.asked", job_id, f"{len(batch.asked)} scenarios")
        services.scenarios_asked()
    elif known.asked != words:
        raise ConflictError("this Idempotency-Key was used for other scenarios")
    response.headers["Location"] = f"{request.url.path}/{job_id}"
    return ScenarioJobOut.model_validate(known)


@router.get("/scenarios")
def list_jobs(
    request: Request,
    _: Viewer,
    state: Annotated[list[JobState] | None, Query(description="Only these states; repeat for several.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[ScenarioJobOut]:
    """List jobs, newest first."""
    page = services_of(request).registry.scenario_jobs(states=state, limit=limit, cursor=cursor)
    return page_out(page, ScenarioJobOut.model_validate)


@router.get("/scenarios/comparison")
def compare(
    request: Request, _: Viewer, job_id: Name, scenario: Name, other_job_id: Name, other_scenario: Name
) -> dict[str, Any]:
    """Set one scenario beside another: who gets less or more in the first, and what tanks and pumps do differently."""
    from models.supply.scenarios.compare import compared

    services = services_of(request)
    (model, one), (other_model, other) = (
        _answer(services, job, name) for job, name in ((job_id, scenario), (other_job_id, other_scenario))
    )
    if model != other_model:
        raise ConflictError(
            "these scenarios were run on different models, or from different states: ask for them together"
        )
    if one["hours"] != other["hours"]:
        raise ConflictError(f"{scenario} was run for {one['hours']:g} h, {other_scenario} for {other['hours']:g} h")
    return compared(one, other)


@router.get("/scenarios/{job_id}")
def show_job(request: Request, _: Viewer, job_id: Id) -> ScenarioJobOut:
    """Say how far a job has come."""
    return ScenarioJobOut.model_validate(_job(services_of(request), job_id))


@router.get("/scenarios/{job_id}/result")
def result(request: Request, _: Viewer, job_id: Id) -> Response:
    """Return what a job answered: every scenario, and what it changes against its base run."""
    return Response(_result(services_of(request), job_id), media_type="application/json")


@router.get("/scenarios/{job_id}/events", response_class=StreamingResponse)
def events(request: Request, _: Viewer, job_id: Id) -> StreamingResponse:
    """Send the job each time it has come further, as server-sent events, until it has ended."""
    services = services_of(request)
    _job(services, job_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_progress(services, job_id), media_type="text/event-stream", headers=headers)


async def _progress(services: Services, job_id: str) -> AsyncIterator[str]:
    told, silent = None, 0
    while True:
        job = await run_in_threadpool(services.registry.scenario_job, job_id)
        if job is None:
            yield "event: dropped\ndata: {}\n\n"
            return
        if job != told:
            told, silent = job, 0
            event = "progress" if job.is_open else "ended"
            yield f"event: {event}\ndata: {ScenarioJobOut.model_validate(job).model_dump_json()}\n\n"
        if not job.is_open:
            return
        silent += 1
        if silent % _SIGN_OF_LIFE_EVERY == 0:
            yield ": still at work\n\n"
        await asyncio.sleep(_LOOK_EVERY_S)


@router.post("/scenarios/{job_id}/cancel")
def cancel(request: Request, caller: Operator, job_id: Id) -> ScenarioJobOut:
    """Cancel a job that waits or is worked on."""
    services = services_of(request)
    job = services.registry.end_scenario_job(job_id, JobState.CANCELLED, now=services.clock.now())
    audit(services, caller.actor, "scenarios.cancelled", job_id)
    return ScenarioJobOut.model_validate(job)


@router.delete("/scenarios/{job_id}", status_code=204)
def drop(request: Request, caller: Operator, job_id: Id) -> Response:
    """Forget a job that has ended, and its result."""
    services = services_of(request)
    services.registry.drop_scenario_job(job_id)
    audit(services, caller.actor, "scenarios.dropped", job_id)
    return Response(status_code=204)


def _job(services: Services, job_id: str) -> ScenarioJob:
    job = services.registry.scenario_job(job_id)
    if job is None:
        raise NotFoundError(f"there is no scenario job {job_id}")
    return job


def _result(services: Services, job_id: str) -> bytes:
    found = services.registry.scenario_result(job_id)
    if found is None:
        job = _job(services, job_id)
        raise ConflictError(
            f"scenario job {job_id} has no result: it is {job.state}{f', {job.detail}' * bool(job.detail)}"
        )
    return found


def _answer(services: Services, job_id: str, name: str) -> tuple[tuple[str, str], dict[str, Any]]:
    """Return the model and its state, and the answer of a scenario, or of the base run if it is called so."""
    found = json.loads(_result(services, job_id))
    for answer in (*found["scenarios"], *found["base"]):
        if answer["name"] == name:
            if "error" in answer:
                raise InputError(f"{name} gave no answer: {answer['error']}")
            return (found["model_sha256"], found.get("state_at", "")), answer
    raise NotFoundError(f"scenario job {job_id} has no scenario {name!r}")
