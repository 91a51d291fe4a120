"""Which valves cut a pipe or node off, and whom that leaves without water."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api import problems
from api.auth import Caller, Operator, Viewer, audit, services_of
from api.routes.query import IdFilter
from api.schemas.isolation import IsolationIn, IsolationOut, isolation_out
from api.services import Services
from twin.errors import InputError, NotFoundError
from twin.isolation import IsolationQuestion
from twin.network import NetworkKind

router = APIRouter(tags=["isolation"], responses=problems.documented((404, 503)))

Hydraulics = Annotated[bool, Query(description="Run 24 h to tell pressures; without, the answer takes milliseconds.")]


@router.get("/isolation")
def isolation(
    request: Request, caller: Viewer, link: IdFilter = None, node: IdFilter = None, hydraulics: Hydraulics = True
) -> IsolationOut:
    """Say how to cut a link or a node off with the valves as they are registered."""
    question = _question(link, node, hydraulics=hydraulics)
    return isolation_out(ask(services_of(request), question), caller)


@router.post("/isolation")
def isolation_with(request: Request, caller: Operator, asked: IsolationIn) -> IsolationOut:
    """Say the same when some valves turn out not to be operable, or to be shut already."""
    overrides = {"inoperable": tuple(asked.inoperable), "closed": tuple(asked.closed)}
    question = _question(asked.link, asked.node, hydraulics=asked.hydraulics, **overrides)
    return isolation_out(ask_and_note(services_of(request), caller, question), caller)


def ask_and_note(services: Services, caller: Caller, question: IsolationQuestion) -> dict[str, Any]:
    """Answer a question with overrides, and write down who asked."""
    answer = ask(services, question)
    said = f"inoperable: {', '.join(question.inoperable) or 'none'}; closed: {', '.join(question.closed) or 'none'}"
    audit(services, caller.actor, "isolation.asked", question.element_id, said)
    return answer


def ask(services: Services, question: IsolationQuestion) -> dict[str, Any]:
    """Answer a question.

    Raises:
        NotFoundError: If there is no supply network, or it has no such element.
        InputError: If a valve is unknown.
    """
    network = services.network(NetworkKind.SUPPLY)
    if network is None or services.isolate is None:
        raise NotFoundError("no supply network is imported; `h2twin import network FILE` does it")
    if question.element_id not in (network.links if question.is_link else network.nodes):
        what = "link" if question.is_link else "node"
        raise NotFoundError(f"the supply network has no {what} {question.element_id!r}")
    return services.isolate(question)


def _question(link: str | None, node: str | None, **more: Any) -> IsolationQuestion:
    if link is not None and node is None:
        return IsolationQuestion(link, True, **more)
    if node is not None and link is None:
        return IsolationQuestion(node, False, **more)
    raise InputError("name what to cut off: either a link or a node")
