"""Every provider's reader by its name, and a parsed forecast as the document `h2twin weather parse` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ingest.weather.files import parse_file_steps
from ingest.weather.ipma import parse_ipma_steps
from ingest.weather.met_norway import parse_met_norway_steps
from ingest.weather.nws import parse_nws_steps
from ingest.weather.open_meteo import parse_open_meteo_steps
from ingest.weather.steps import ForecastStep, ParsedForecast
from twin.clock import format_time
from twin.errors import InputError

PROVIDERS: Mapping[str, Callable[[bytes], ParsedForecast]] = {
    "open_meteo": parse_open_meteo_steps,
    "met_norway": parse_met_norway_steps,
    "nws": parse_nws_steps,
    "ipma": parse_ipma_steps,
    "file": parse_file_steps,
}


def parse_steps(provider: str, body: bytes) -> ParsedForecast:
    """Read a provider's raw response body in its native intervals.

    Raises:
        InputError: If the provider is unknown or the body is not one of its payloads.
    """
    if provider not in PROVIDERS:
        raise InputError(f"no provider {provider!r}; known are {', '.join(PROVIDERS)}")
    return PROVIDERS[provider](body)


def steps_document(parsed: ParsedForecast) -> dict[str, Any]:
    """Return `{issued_at, members: [{member, steps: [{valid_from, interval_s, rain_mm}]}]}`, ready for JSON."""
    return {
        "issued_at": None if parsed.issued_at is None else format_time(parsed.issued_at),
        "members": [
            {"member": member.member, "steps": [_step_document(step) for step in member.steps]}
            for member in parsed.members
        ],
    }


def _step_document(step: ForecastStep) -> dict[str, Any]:
    return {"valid_from": format_time(step.valid_from), "interval_s": step.interval_s, "rain_mm": step.rain_mm}
