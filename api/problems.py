"""Every refusal of the web application as an RFC 9457 problem.

The `type` is stable (`urn:h2twin:problem:{slug}`), the `detail` says what to do. An unexpected error shows an id that
the log holds together with the trace, never the trace itself. People on the pages get the same facts as a page.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api.schemas.problems import ProblemOut
from api.web.rendering import error_page, is_page
from twin.errors import TwinError, UnavailableError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

_log = structlog.get_logger(__name__)
_SLUGS = {
    400: "bad_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    412: "changed_meanwhile", 413: "too_large", 422: "invalid_input", 429: "too_many_attempts", 500: "unexpected",
}  # fmt: skip


class Unauthenticated(HTTPException):
    """Nobody we know is asking: a key is missing, unknown or revoked."""

    def __init__(self, detail: str) -> None:
        super().__init__(401, detail, headers={"WWW-Authenticate": 'Bearer realm="h2twin"'})


def problem_type(slug: str) -> str:
    """Return the stable type URI of a kind of problem."""
    return f"urn:h2twin:problem:{slug}"


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    slug: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """Answer with a problem; on a page for people, with a page that says the same."""
    title = HTTPStatus(status).phrase
    if is_page(request.url.path):
        return error_page(status, title, detail, error_id=more.get("error_id"), headers=headers)
    body = {
        "type": problem_type(slug or _SLUGS.get(status, "http_error")),
        "title": title,
        "status": status,
        "detail": detail,
        "instance": quote(request.url.path, safe="/:@!$&'()*+,;="),
        **more,
    }
    return JSONResponse(body, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def unexpected(request: Request, error: Exception) -> Response:
    """Log an error nobody foresaw under a new id and show the id alone."""
    error_id = secrets.token_hex(6)
    _log.error("unexpected error", error_id=error_id, method=request.method, path=request.url.path, exc_info=error)
    detail = f"h2twin could not answer; the log holds the cause under error id {error_id}"
    return problem(request, 500, detail, error_id=error_id)


def install(app: FastAPI) -> None:
    """Make `app` answer every error as a problem (unexpected ones: see `api.guard`)."""
    app.add_exception_handler(TwinError, _twin_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def _twin_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TwinError)
    if not isinstance(error, UnavailableError):
        return problem(request, error.http_status, str(error), slug=error.problem)
    detail = str(error)
    if request.url.path == "/" or request.url.path.startswith("/public/"):  # causes name hosts and paths
        _log.error("cannot serve the public", path=request.url.path, cause=detail)
        detail = "h2twin cannot look this up right now; try again in a moment"
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return problem(request, error.http_status, detail, slug=error.problem, headers=headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"nothing is served at {request.url.path}"
    return problem(request, error.status_code, detail, headers=error.headers)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": ".".join(str(part) for part in item["loc"]), "message": _sentence(item)} for item in error.errors()
    ]
    detail = "; ".join(f"{item['where']}: {item['message']}" for item in errors)
    return problem(request, 422, detail, errors=errors)


def _sentence(item: Mapping[str, Any]) -> str:
    return str(item["msg"]).removeprefix("Value error, ")


def documented(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """Describe these refusals for OpenAPI."""
    return {status: {"description": HTTPStatus(status).phrase, "model": ProblemOut} for status in statuses}
