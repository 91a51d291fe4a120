"""What everybody may see without a key: the page, the notices as JSON and Atom, and each one as a CAP message."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.auth import services_of
from api.channels import atom, cap
from api.channels.json_feed import to_public_item
from api.routes.query import Id
from api.schemas.public import PublicNoticesOut
from api.services import Services
from api.web.public_view import public_view
from api.web.rendering import page, stylesheet
from api.web.words import LANGUAGES, WORDS, choose_language
from twin.errors import NotFoundError
from twin.notices import IN_FORCE, PUBLIC_STATES, Notice

router = APIRouter(tags=["public"])

CACHE_S = 30
FEED_KEEPS = timedelta(days=7)
"""Feeds hold what is in force, and what ended within a week: readers must learn that it ended."""

Language = Annotated[str | None, Query(max_length=10, description="pt or en")]


@router.get("/", include_in_schema=False)
def show_public_page(request: Request, lang: Language = None) -> Response:
    """Show what is wrong now, since when and until when."""
    services = services_of(request)
    language = choose_language(lang, request.headers.get("accept-language", ""))
    context = {
        "language": language,
        "other": next(other for other in LANGUAGES if other != language),
        "words": WORDS[language],
        "exercise": services.exercise,
        "view": public_view(services, language),
    }
    headers = {**_cached(), "Vary": "Accept-Language", "Content-Language": language}
    return page("public.html", context, headers=headers)


@router.get("/public/notices.json", response_model=PublicNoticesOut)
def notices_json(request: Request) -> Response:
    """Return the public notices, newest first."""
    services = services_of(request)
    items = [to_public_item(notice, base_url=services.public_url) for notice in _public(services)]
    body = {"exercise": services.exercise, "items": items, "next_cursor": None}
    return _answer(request, json.dumps(body, ensure_ascii=False).encode(), "application/json")


@router.get("/public/notices.atom", response_class=Response, responses={200: {"content": {atom.FEED_MEDIA_TYPE: {}}}})
def notices_atom(request: Request, lang: Language = None) -> Response:
    """Return the public notices as an Atom feed."""
    services = services_of(request)
    feed = atom.to_atom(
        _public(services),
        base_url=services.public_url,
        author=services.notice_sender,
        now=services.clock.now(),
        language=choose_language(lang, ""),
    )
    return _answer(request, feed, f"{atom.FEED_MEDIA_TYPE}; charset=utf-8")


@router.get(
    "/public/notices/{notice_id}.cap", response_class=Response, responses={200: {"content": {cap.MEDIA_TYPE: {}}}}
)
def notice_cap(request: Request, notice_id: Id) -> Response:
    """Return the newest published step of a notice as a CAP 1.2 message."""
    services = services_of(request)
    content = cap.to_cap(_published(services, notice_id), sender=services.notice_sender, base_url=services.public_url)
    return _answer(request, content, f"{cap.MEDIA_TYPE}; charset=utf-8")


@router.get("/static/twin.css", include_in_schema=False)
def style() -> Response:
    """Return the style sheet; its address changes with its content."""
    return Response(stylesheet(), media_type="text/css", headers={"Cache-Control": "public, max-age=604800"})


def _public(services: Services) -> list[Notice]:
    registry, now = services.registry, services.clock.now()
    in_force = registry.notices(states=sorted(IN_FORCE), limit=1000).items
    ended = registry.notices(states=sorted(PUBLIC_STATES - IN_FORCE), limit=1000).items
    recent = [notice for notice in ended if now - notice.updated_at <= FEED_KEEPS]
    return sorted((*in_force, *recent), key=lambda notice: notice.revisions[-1].sent_at, reverse=True)


def _published(services: Services, notice_id: str) -> Notice:
    """Return the notice, if the public may see it; whether it exists otherwise is nobody's business."""
    unknown = NotFoundError(f"there is no public notice {notice_id!r}")
    try:
        notice = services.registry.notice(notice_id)
    except NotFoundError as error:
        raise unknown from error
    if not notice.is_public:
        raise unknown
    return notice


def _answer(request: Request, content: bytes, media_type: str) -> Response:
    """Answer with the content, or with 304 where the asker has it already."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers: dict[str, Any] = {**_cached(), "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _cached() -> dict[str, str]:
    return {"Cache-Control": f"public, max-age={CACHE_S}"}
