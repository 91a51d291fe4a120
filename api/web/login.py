"""How a person gets onto the operators' pages: the session behind the cookie, and forms only our pages can send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from api.auth import Caller, Role, caller_of, require, services_of
from api.web.sessions import COOKIE, Attempts, Session, Sessions
from twin.errors import ForbiddenError, InputError

LOGIN_PATH = "/ops/login"
FIELD_LIMIT = 20


class LoginNeededError(Exception):
    """Nobody is logged in in this browser: show the login page."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at the operators' pages."""

    caller: Caller
    session: Session

    @property
    def may_act(self) -> bool:
        """Whether the visitor may acknowledge, shelve, approve and publish."""
        return self.caller.may(Role.OPERATOR)


def to_login(_request: Request, _error: Exception) -> Response:
    """Answer `LoginNeededError`: go to the login page."""
    return RedirectResponse(LOGIN_PATH, status_code=303)


def sessions_of(request: Request) -> Sessions:
    """Return the logins of this process."""
    sessions: Sessions = request.app.state.sessions
    return sessions


def attempts_of(request: Request) -> Attempts:
    """Return the failed logins of this process."""
    attempts: Attempts = request.app.state.attempts
    return attempts


def _visitor(request: Request) -> Visitor:
    session = sessions_of(request).find(request.cookies.get(COOKIE))
    key = services_of(request).registry.key(session.key_id) if session else None
    if session is None or key is None or key.revoked_at is not None:
        raise LoginNeededError
    return Visitor(caller_of(key), session)


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a plain form; the one place that awaits, because a body arrives in pieces."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise InputError("send the form as application/x-www-form-urlencoded")
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(body, max_num_fields=FIELD_LIMIT, keep_blank_values=True))
    except ValueError as error:
        raise InputError(f"a form has at most {FIELD_LIMIT} fields") from error


AnyVisitor = Annotated[Visitor, Depends(_visitor)]
Form = Annotated[dict[str, str], Depends(_form)]


def _acting(request: Request, visitor: AnyVisitor, form: Form) -> Visitor:
    """Let an operator's own form pass; refuse other sites' forms, and viewers (who are written down)."""
    require_same_site(request)
    if not visitor.session.is_form_token(form.get("form_token", "")):
        raise ForbiddenError("this form is not from your session: load the page again")
    require(services_of(request), visitor.caller, Role.OPERATOR, f"POST {request.url.path}")
    return visitor


ActingVisitor = Annotated[Visitor, Depends(_acting)]


def require_same_site(request: Request) -> None:
    """Refuse a form that another site's page sent.

    Raises:
        ForbiddenError: If the browser says that the form comes from elsewhere.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if site not in ("same-origin", "none") or foreign:
        raise ForbiddenError("this form was sent from another site")
