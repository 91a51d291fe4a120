"""MET Norway's Locationforecast 2.0: its payloads, and the service itself.

An amount is the sum over the hour (or the six hours) that FOLLOW its stamp. `next_1_hours` and `next_6_hours` of one
stamp, and six-hour sums of neighbouring hourly stamps, overlap: the six hours count only where `next_1_hours` is
absent and no later stamp lies inside them. The last stamp has neither. `issued_at` is the model's `updated_at`.

Terms of service: identify yourself in the User-Agent, obey Expires, ask with If-Modified-Since.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ingest.weather.payload import amount, mapping, moment, number, read_json, sequence
from ingest.weather.polite import PoliteClient
from ingest.weather.steps import ForecastStep, ParsedForecast, checked_member, regular
from twin.errors import ConfigError, InputError
from twin.forecasts import WeatherEnsemble

NAME = "met-norway"
ATTRIBUTION = "Weather data by MET Norway, CC BY 4.0"

_HOUR_S = 3600
_SIX_HOURS_S = 6 * 3600


def parse_met_norway_steps(body: bytes) -> ParsedForecast:
    """Read a Locationforecast (compact or complete, bare or wrapped with its status and headers) in its own steps.

    Raises:
        InputError: If the body is not such a forecast, its rain is not in mm, or an amount is negative.
    """
    payload = mapping(read_json(body), "the MET Norway response")
    if "properties" not in payload and "data" in payload:
        payload = mapping(payload["data"], "data")
    properties = mapping(payload.get("properties"), "properties")
    meta = mapping(properties.get("meta"), "properties.meta")
    _check_unit(meta)
    rows = [
        (moment(row.get("time"), f"timeseries[{i}].time"), mapping(row.get("data"), f"timeseries[{i}].data"))
        for i, row in enumerate(_timeseries(properties))
    ]
    if not rows:
        raise InputError("properties.timeseries is empty")
    rows.sort(key=lambda row: row[0])
    following = [row[0] for row in rows[1:]] + [None]
    steps = [_step(start, row, until) for (start, row), until in zip(rows, following, strict=True)]
    member = checked_member("0", (step for step in steps if step is not None))
    issued_at = moment(meta["updated_at"], "meta.updated_at") if meta.get("updated_at") is not None else None
    return ParsedForecast(NAME, issued_at, (member,), ATTRIBUTION)


def parse_met_norway(body: bytes, *, now: datetime) -> WeatherEnsemble:
    """Read a Locationforecast on an hourly grid, six-hour sums spread evenly; errors as in the other reader."""
    return regular(parse_met_norway_steps(body), now=now)


def _timeseries(properties: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = sequence(properties.get("timeseries"), "properties.timeseries")
    return [mapping(row, f"timeseries[{i}]") for i, row in enumerate(rows)]


def _check_unit(meta: Mapping[str, Any]) -> None:
    unit = mapping(meta.get("units"), "meta.units").get("precipitation_amount")
    if unit != "mm":
        raise InputError(
            f"meta.units.precipitation_amount is {unit!r}, not mm; ask for the compact or complete product"
        )


def _step(start: datetime, row: Mapping[str, Any], until: datetime | None) -> ForecastStep | None:
    temperature_c = _temperature(start, row)
    if "next_1_hours" in row:
        return ForecastStep(start, _HOUR_S, _sum(start, row, "next_1_hours"), temperature_c)
    if "next_6_hours" not in row:
        return None
    end = until if until is not None and (until - start).total_seconds() < _SIX_HOURS_S else None
    if end is not None:  # a later stamp lies inside the six hours: how much falls before it, nobody says
        return ForecastStep(start, int((end - start).total_seconds()), None, temperature_c)
    return ForecastStep(start, _SIX_HOURS_S, _sum(start, row, "next_6_hours"), temperature_c)


def _sum(start: datetime, row: Mapping[str, Any], period: str) -> float | None:
    where = f"{start.isoformat()} {period}"
    details = mapping(mapping(row[period], where).get("details", {}), f"{where}.details")
    return amount(details.get("precipitation_amount"), f"{where}.precipitation_amount")


def _temperature(start: datetime, row: Mapping[str, Any]) -> float | None:
    where = f"{start.isoformat()} instant"
    details = mapping(mapping(row.get("instant", {}), where).get("details", {}), f"{where}.details")
    value = details.get("air_temperature")
    return None if value is None else number(value, f"{where}.air_temperature")


class MetNorway:
    """The service for one place, fulfilling `twin.ports.WeatherSource`.

    `user_agent` must say who asks, with a contact. Coordinates are sent with four decimals, as the service asks.
    """

    name = NAME

    def __init__(
        self,
        base_url: str,
        latitude: float,
        longitude: float,
        *,
        user_agent: str,
        gage_id: str = "*",
        client: PoliteClient | None = None,
    ) -> None:
        if not user_agent.strip():
            raise ConfigError("MET Norway refuses anonymous callers: set TWIN_WEATHER_USER_AGENT (who, and a contact)")
        self._url = f"{base_url.rstrip('/')}/weatherapi/locationforecast/2.0/compact"
        self._place = {"lat": f"{latitude:.4f}", "lon": f"{longitude:.4f}"}
        self._gage_id = gage_id
        self._client = client or PoliteClient(user_agent=user_agent)

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        """Return the newest forecast known at `now`; UnavailableError if the service is away, InputError if broken."""
        answer = self._client.get(self._url, self._place, now=now)
        return regular(parse_met_norway_steps(answer.body), now=answer.available_at, gage_id=self._gage_id)
