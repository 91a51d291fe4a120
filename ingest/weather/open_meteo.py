"""Open-Meteo: its payloads, and the service itself.

An hourly amount is the sum over the hour (or the payload's own spacing) that ENDS at its stamp. Stamps carry no zone:
UTC is the stamp less `utc_offset_seconds`, one offset for the whole response, also across a change of clocks. Unix
stamps are UTC already. The control run is `precipitation`, members are `precipitation_memberNN`, and with several
models each name ends in `_<model>`. The payload does not say when its model run was made, so `issued_at` is None.

The free service is for non-commercial use; the addresses and the key are settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from ingest.weather.payload import amount, mapping, number, read_json, sequence, text
from ingest.weather.polite import PoliteClient
from ingest.weather.steps import (
    ForecastMember,
    ForecastStep,
    ParsedForecast,
    checked_member,
    checked_members,
    regular,
)
from twin.errors import InputError
from twin.forecasts import WeatherEnsemble
from twin.units import Quantity, to_si

NAME = "open-meteo"
ATTRIBUTION = "Weather data by Open-Meteo.com, CC BY 4.0"
ENSEMBLE_MODELS = ("ecmwf_ifs025", "icon_seamless")

_RAIN = re.compile(r"precipitation(?:_member(?P<number>\d{1,4}))?(?:_(?P<model>[a-z0-9_.-]+))?")
_OTHER_QUANTITIES = ("probability", "hours", "sum", "type", "spread")  # precipitation_probability and the like
_RAIN_UNITS = {"mm": "mm", "inch": "in"}
_TEMPERATURE_UNITS = {"°C": "degC", "°F": "degF"}


def parse_open_meteo_steps(body: bytes) -> ParsedForecast:
    """Read a forecast or ensemble response of Open-Meteo in its own steps.

    Raises:
        InputError: If the body is not such a response, states an unknown unit, or holds a negative amount.
    """
    payload = mapping(read_json(body), "the Open-Meteo response")
    if payload.get("error"):
        raise InputError(f"Open-Meteo answered with an error: {payload.get('reason')}")
    hourly = mapping(payload.get("hourly"), "hourly")
    units = mapping(payload.get("hourly_units"), "hourly_units")
    ends = _stamps(payload, hourly)
    interval_s = _spacing(ends)
    members = [
        _member(key, member, model, hourly, units, ends, interval_s) for key, member, model in _rain_series(hourly)
    ]
    if not members:
        raise InputError("the Open-Meteo response holds no hourly precipitation; ask for hourly=precipitation")
    return ParsedForecast(NAME, None, checked_members(members), ATTRIBUTION)


def parse_open_meteo(body: bytes, *, now: datetime) -> WeatherEnsemble:
    """Read a response of Open-Meteo as an ensemble on its hourly grid; errors as in `parse_open_meteo_steps`."""
    return regular(parse_open_meteo_steps(body), now=now)


def _rain_series(hourly: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    for key in hourly:
        match = _RAIN.fullmatch(key)
        if match is None:
            continue
        model = match["model"] or ""
        if not model.startswith(_OTHER_QUANTITIES):
            yield key, int(match["number"] or 0), model


def _member(
    key: str,
    member: int,
    model: str,
    hourly: Mapping[str, Any],
    units: Mapping[str, Any],
    ends: Sequence[datetime],
    interval_s: int,
) -> ForecastMember:
    name = f"{model}-{member:02d}" if model else f"{member:02d}"
    rain_mm = _converted(key, hourly, units, len(ends), Quantity.RAIN)
    temperature_key = key.replace("precipitation", "temperature_2m", 1)
    temperature_c: Sequence[float | None] = (None,) * len(ends)
    if temperature_key in hourly:
        temperature_c = _converted(temperature_key, hourly, units, len(ends), Quantity.TEMPERATURE)
    return checked_member(
        name,
        (
            ForecastStep(_before(end, interval_s), interval_s, rain, temperature)
            for end, rain, temperature in zip(ends, rain_mm, temperature_c, strict=True)
        ),
    )


def _converted(
    key: str, hourly: Mapping[str, Any], units: Mapping[str, Any], length: int, quantity: Quantity
) -> list[float | None]:
    values = sequence(hourly[key], f"hourly.{key}")
    if len(values) != length:
        raise InputError(f"hourly.{key} has {len(values)} values for {length} times")
    known = _RAIN_UNITS if quantity is Quantity.RAIN else _TEMPERATURE_UNITS
    stated = units.get(key, units.get("precipitation" if quantity is Quantity.RAIN else "temperature_2m"))
    if not isinstance(stated, str) or stated not in known:
        raise InputError(f"hourly_units.{key} is {stated!r}; known are {', '.join(known)}")
    read = amount if quantity is Quantity.RAIN else _optional_number
    found = (read(value, f"hourly.{key}[{place}]") for place, value in enumerate(values))
    return [None if value is None else to_si(value, known[stated], quantity) for value in found]


def _optional_number(value: Any, where: str) -> float | None:
    return None if value is None else number(value, where)


def _stamps(payload: Mapping[str, Any], hourly: Mapping[str, Any]) -> list[datetime]:
    values = sequence(hourly.get("time"), "hourly.time")
    offset_s = number(payload.get("utc_offset_seconds", 0), "utc_offset_seconds")
    try:
        stamps = [_stamp(value, timedelta(seconds=offset_s), f"hourly.time[{i}]") for i, value in enumerate(values)]
    except (OverflowError, ValueError, OSError) as error:
        raise InputError(f"hourly.time holds what is no time: {error}") from error
    if any(later <= earlier for earlier, later in pairwise(stamps)):
        raise InputError("hourly.time does not rise from row to row")
    return stamps


def _stamp(value: Any, offset: timedelta, where: str) -> datetime:
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    stamp = datetime.fromisoformat(text(value, where))
    return stamp.astimezone(UTC) if stamp.tzinfo else (stamp - offset).replace(tzinfo=UTC)


def _spacing(ends: Sequence[datetime]) -> int:
    """Return the length of the hours the sums are over: the least distance of two stamps, an hour for a single one."""
    return min((int((later - end).total_seconds()) for end, later in pairwise(ends)), default=3600)


def _before(end: datetime, interval_s: int) -> datetime:
    try:
        return end - timedelta(seconds=interval_s)
    except OverflowError as error:
        raise InputError(f"no step can end at {end.isoformat()}") from error


class OpenMeteo:
    """The service for one place, fulfilling `twin.ports.WeatherSource`.

    With `ensemble`, `base_url` is that of the ensemble service and `models` are asked for; without, the forecast
    service gives its best match. The service states neither its run nor how long an answer holds: it is asked at most
    every half hour, and an answer with the same rain as before keeps the time at which that became available.
    """

    def __init__(
        self,
        base_url: str,
        latitude: float,
        longitude: float,
        *,
        ensemble: bool,
        api_key: str | None = None,
        models: Sequence[str] = ENSEMBLE_MODELS,
        forecast_days: int = 3,
        gage_id: str = "*",
        user_agent: str = "h2twin",
        client: PoliteClient | None = None,
    ) -> None:
        self.name = f"{NAME} {'ensemble' if ensemble else 'forecast'}"
        self._url = f"{base_url.rstrip('/')}/v1/{'ensemble' if ensemble else 'forecast'}"
        self._asked = {
            "latitude": f"{latitude:.4f}",
            "longitude": f"{longitude:.4f}",
            "hourly": "precipitation,temperature_2m",
            "timezone": "UTC",
            "precipitation_unit": "mm",
            "forecast_days": str(forecast_days),
        }
        if ensemble:
            self._asked["models"] = ",".join(models)
        if api_key:
            self._asked["apikey"] = api_key
        self._gage_id = gage_id
        self._client = client or PoliteClient(user_agent=user_agent or "h2twin", min_interval=timedelta(minutes=30))
        self._last: WeatherEnsemble | None = None

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        """Return the newest forecast known at `now`; UnavailableError if the service is away, InputError if broken."""
        answer = self._client.get(self._url, self._asked, now=now)
        parsed = replace(parse_open_meteo_steps(answer.body), source=self.name)
        ensemble = regular(parsed, now=answer.available_at, gage_id=self._gage_id)
        if self._last is None or replace(ensemble, available_at=self._last.available_at) != self._last:
            self._last = ensemble
        return self._last
