"""The operators' page of isolations: type a pipe or node, see the valves to close and whom that hits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.auth import Role, services_of
from api.routes.isolation import ask, ask_and_note
from api.routes.ops import frame
from api.routes.query import NO_CONTROL
from api.services import Services
from api.web.login import ActingVisitor, AnyVisitor, Form, Visitor
from api.web.rendering import page
from twin.errors import InputError, ModelError, NotFoundError
from twin.isolation import IsolationQuestion
from twin.network import NetworkKind

router = APIRouter(prefix="/ops", include_in_schema=False)

NAMED = 40
_ID_LIMIT = 200
_NAMES_LIMIT = 1000

Element = Annotated[str, Query(max_length=_ID_LIMIT, pattern=NO_CONTROL.replace("+", "*"))]


@router.get("/isolation")
def show_isolation(request: Request, visitor: AnyVisitor, element: Element = "", pressures: bool = False) -> Response:
    """Show the form and, for an id, the valves to close around it."""
    return _page(request, visitor, element.strip(), {}, pressures=pressures)


@router.post("/isolation")
def plan_again(request: Request, visitor: ActingVisitor, form: Form) -> Response:
    """Show the valves to close when some cannot be turned, or are shut already."""
    element = form.get("element", "").strip()
    if not 0 < len(element) <= _ID_LIMIT:
        raise InputError(f"name a pipe or node, with up to {_ID_LIMIT} characters")
    overrides = {name: _names(form.get(name, "")) for name in ("inoperable", "closed")}
    return _page(request, visitor, element, overrides, pressures="pressures" in form)


def _page(
    request: Request, visitor: Visitor, element: str, overrides: dict[str, tuple[str, ...]], *, pressures: bool
) -> Response:
    services, answer, problem, status = services_of(request), None, "", 200
    if element:
        try:
            question = _question(services, element, overrides, pressures=pressures)
            answer = ask_and_note(services, visitor.caller, question) if overrides else ask(services, question)
        except (NotFoundError, InputError, ModelError) as error:
            problem = str(error)
            status = 404 if isinstance(error, NotFoundError) else 422 if isinstance(error, InputError) else 503
    context = {
        **frame(request, visitor),
        "element": element,
        "pressures": pressures,
        "inoperable": ", ".join(overrides.get("inoperable", ())),
        "closed": ", ".join(overrides.get("closed", ())),
        "answer": answer,
        "dry_anyway": _dry_anyway(answer) if answer else [],
        "problem": problem,
        "sees_customers": visitor.caller.may(Role.OPERATOR),
        "named": NAMED,
    }
    return page("isolation.html", context, status=status)


def _dry_anyway(answer: Mapping[str, Any]) -> list[str]:
    """Return the dry nodes that are neither cut off nor dry because of it."""
    others = {*answer["segment"]["nodes"], *answer["unintended_nodes"]}
    return [node for node in answer["dry_nodes"] if node not in others]


def _question(
    services: Services, element: str, overrides: dict[str, tuple[str, ...]], *, pressures: bool
) -> IsolationQuestion:
    """Take the id for a link's if there is such a link, else for a node's."""
    network = services.network(NetworkKind.SUPPLY)
    is_link = network is not None and element in network.links
    if network is not None and not is_link and element not in network.nodes:
        raise NotFoundError(f"the supply network has neither a link nor a node {element!r}")
    return IsolationQuestion(element, is_link, hydraulics=pressures, **overrides)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    if len(names) > _NAMES_LIMIT:
        raise InputError(f"at most {_NAMES_LIMIT} valves can be named")
    return names
