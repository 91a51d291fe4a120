"""IPMA, Portugal's weather service: its forecasts and its station observations.

Its forecasts state a probability of rain and no millimetres: they make an ensemble without members, never one of
dry members. Their `dataUpdate` names no zone, so `issued_at` is None. Station observations do hold millimetres
(`precAcumulada`): the stamp is UTC and ENDS its hour; -99.0, and a station without an entry, are unknown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.weather.payload import amount, mapping, number, read_json
from ingest.weather.steps import ForecastMember, ForecastStep, ParsedForecast, checked_member, regular
from twin.errors import InputError
from twin.forecasts import WeatherEnsemble

NAME = "ipma"
ATTRIBUTION = "Weather data by IPMA (Instituto Português do Mar e da Atmosfera)"

_UNKNOWN = -99.0
_HOUR = timedelta(hours=1)
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", re.ASCII)
_FORECAST_KEYS = {"probabilidadePrecipita", "precipitaProb"}


def parse_ipma_steps(body: bytes) -> ParsedForecast:
    """Read a forecast (no members: it has no amounts) or observations (one member a station, named by its id).

    Raises:
        InputError: If the body is neither, or an observed amount is negative and not -99.0.
    """
    payload = read_json(body)
    if _is_forecast(payload):
        return ParsedForecast(NAME, None, (), ATTRIBUTION)
    return ParsedForecast(NAME, None, _observed(_hours(payload)), ATTRIBUTION)


def parse_ipma(body: bytes, *, now: datetime) -> WeatherEnsemble:
    """Read a forecast of IPMA: an ensemble without members, as it states no millimetres.

    Raises:
        InputError: If the body is not a forecast; observations are no possible futures.
    """
    if not _is_forecast(read_json(body)):
        raise InputError("this is no IPMA forecast; read station observations with parse_ipma_steps")
    return regular(ParsedForecast(NAME, None, (), ATTRIBUTION), now=now)


def _is_forecast(payload: Any) -> bool:
    rows = payload.get("data") if isinstance(payload, dict) else payload
    if not isinstance(rows, list) or not rows:
        return False
    return all(isinstance(row, dict) and bool(_FORECAST_KEYS & row.keys()) for row in rows)


def _hours(payload: Any) -> dict[datetime, Mapping[str, Any]]:
    hours = {}
    for stamp, stations in mapping(payload, "the IPMA response").items():
        if not _STAMP.fullmatch(stamp):
            raise InputError(f"{stamp[:40]!r} is no hour of IPMA observations, and this is no IPMA forecast either")
        try:
            end = datetime.fromisoformat(stamp).replace(tzinfo=UTC)
            hours[end - _HOUR] = mapping(stations, stamp)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{stamp!r} is no time") from error
    if not hours:
        raise InputError("the IPMA response is empty")
    return hours


def _observed(hours: Mapping[datetime, Mapping[str, Any]]) -> tuple[ForecastMember, ...]:
    steps: dict[str, list[ForecastStep]] = defaultdict(list)
    for start, stations in hours.items():
        for station, entry in stations.items():
            rain_mm, temperature_c = (None, None) if entry is None else _entry(mapping(entry, station), station)
            steps[station].append(ForecastStep(start, 3600, rain_mm, temperature_c))
    return tuple(checked_member(station, found) for station, found in steps.items())


def _entry(entry: Mapping[str, Any], station: str) -> tuple[float | None, float | None]:
    return _known(entry.get("precAcumulada"), station, rain=True), _known(entry.get("temperatura"), station, rain=False)


def _known(value: Any, station: str, *, rain: bool) -> float | None:
    if value is None:
        return None
    found = number(value, station)
    if found == _UNKNOWN:
        return None
    return amount(found, f"precAcumulada of {station}") if rain else found
