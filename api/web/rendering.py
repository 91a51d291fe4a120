"""Templates become pages: everything is escaped, a missing name is an error, times are the city's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).parent
_LOCALES = {"pt": "pt_PT", "en": "en_GB"}


def is_page(path: str) -> bool:
    """Whether people look at this path in a browser, so that errors are pages too."""
    return path == "/" or path == "/ops" or path.startswith("/ops/")


def page(
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Render a template."""
    html = _environment().get_template(template).render(**context)
    return HTMLResponse(html, status_code=status, headers=dict(headers or {}))


def error_page(
    status: int,
    title: str,
    detail: str,
    *,
    error_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Render the page that says what went wrong and what to do."""
    context = {"status": status, "title": title, "detail": detail, "error_id": error_id}
    return page("error.html", context, status=status, headers=headers)


@cache
def stylesheet() -> str:
    """Return the one style sheet of all pages."""
    return (_HERE / "static" / "twin.css").read_text(encoding="utf-8")


@cache
def stylesheet_version() -> str:
    """Return a name of the style sheet's content, so that browsers may keep it for long."""
    return hashlib.sha256(stylesheet().encode()).hexdigest()[:12]


def local_time(moment: datetime, zone: ZoneInfo, language: str, pattern: str = "EEE d MMM y, HH:mm") -> str:
    """Write a moment for people, with the zone's name: in a night of clock changes an hour comes twice."""
    local = moment.astimezone(zone)
    return f"{format_datetime(local, pattern, locale=_LOCALES[language])} {local.tzname()}"


def duration(seconds: float, language: str = "en") -> str:
    """Write a length of time for people, as coarse as they would say it."""
    minutes = int(abs(seconds) // 60)
    if minutes < 1:
        return {"pt": "menos de 1 min", "en": "less than 1 min"}[language]
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["stylesheet_version"] = stylesheet_version()
    environment.filters["duration"] = duration
    return environment
