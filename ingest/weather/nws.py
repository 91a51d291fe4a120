"""The US National Weather Service: its gridpoint payloads (`/gridpoints/{office}/{x},{y}`).

`quantitativePrecipitation` gives a total per ISO 8601 interval (`2022-02-04T00:00:00+00:00/PT6H`), of mixed lengths.
null is unknown. `issued_at` is the forecast's `updateTime`. The hourly and daily texts (`/forecast…`) hold no amounts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ingest.weather.payload import amount, mapping, moment, read_json, sequence, text
from ingest.weather.steps import ForecastStep, ParsedForecast, checked_member, regular
from twin.errors import InputError
from twin.forecasts import WeatherEnsemble
from twin.units import Quantity, to_si

NAME = "nws"
ATTRIBUTION = "Weather data by the US National Weather Service, public domain"

_UNITS = {"mm": "mm", "in": "in", "[in_i]": "in"}  # after the prefix: wmoUnit:mm, unit:mm
_DURATION = re.compile(r"P(?:(\d{1,3})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,7})S)?)?", re.ASCII)


def parse_nws_steps(body: bytes) -> ParsedForecast:
    """Read a gridpoint payload in its own intervals.

    Raises:
        InputError: If the body is not such a payload, its unit is unknown, an interval is none, two intervals
            overlap, or an amount is negative.
    """
    properties = mapping(mapping(read_json(body), "the NWS response").get("properties"), "properties")
    if "quantitativePrecipitation" not in properties:
        raise InputError("no quantitativePrecipitation here; ask for /gridpoints/{office}/{x},{y}, not for /forecast")
    rain = mapping(properties["quantitativePrecipitation"], "quantitativePrecipitation")
    values = sequence(rain.get("values"), "quantitativePrecipitation.values")
    unit = _unit(rain) if values else "mm"
    member = checked_member("0", (_step(value, unit, f"values[{i}]") for i, value in enumerate(values)))
    stated = properties.get("updateTime")
    issued_at = None if stated is None else moment(stated, "properties.updateTime")
    return ParsedForecast(NAME, issued_at, (member,), ATTRIBUTION)


def parse_nws(body: bytes, *, now: datetime) -> WeatherEnsemble:
    """Read a gridpoint payload on an hourly grid, longer totals spread evenly; errors as in `parse_nws_steps`."""
    return regular(parse_nws_steps(body), now=now)


def _unit(rain: Mapping[str, Any]) -> str:
    stated = text(rain.get("uom", rain.get("unitCode")), "quantitativePrecipitation.uom")
    unit = _UNITS.get(stated.rpartition(":")[2])
    if unit is None:
        raise InputError(f"quantitativePrecipitation.uom is {stated!r}; known are {', '.join(_UNITS)}")
    return unit


def _step(value: Any, unit: str, where: str) -> ForecastStep:
    value = mapping(value, where)
    start, interval_s = _interval(text(value.get("validTime"), f"{where}.validTime"), where)
    total = amount(value.get("value"), f"{where}.value")
    return ForecastStep(start, interval_s, None if total is None else to_si(total, unit, Quantity.RAIN))


def _interval(written: str, where: str) -> tuple[datetime, int]:
    start, _, duration = written.partition("/")
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise InputError(f"{where}.validTime {written[:60]!r} is no ISO 8601 interval of days, hours and minutes")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return moment(start, f"{where}.validTime"), ((days * 24 + hours) * 60 + minutes) * 60 + seconds
