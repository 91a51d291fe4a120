"""Weather in h2twin's own form: one ensemble as a JSON file, and a folder of such files as a source.

For hindcasts, replays, and services that deliver files or have no reader here.

    {"source": "…", "issued_at": "2026-01-01T00:00:00Z" or null, "gage_id": "*", "valid_from": "2026-01-01T00:00:00Z",
     "interval_s": 3600, "members": [{"member": 0, "rain_mm": [0.0, null, 1.2], "temperature_c": [9.1, 9.0, 8.8]}]}

Read strictly: unknown and missing keys are refused; null stays unknown; `temperature_c` may be left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.weather.payload import amount, mapping, moment, number, read_json, sequence, text
from ingest.weather.steps import MAX_CELLS, ForecastStep, ParsedForecast, checked_member
from twin.clock import as_utc
from twin.errors import InputError, UnavailableError
from twin.forecasts import WeatherEnsemble, WeatherMember

_log = logging.getLogger(__name__)
_MAX_BYTES = 20_000_000
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # steps do not say when they became available
_KEYS = {"source", "issued_at", "gage_id", "valid_from", "interval_s", "members"}
_MEMBER_KEYS = {"member", "rain_mm"}
_DAY_S = 86400


def parse_file(body: bytes, *, now: datetime, keep_negative: bool = False) -> WeatherEnsemble:
    """Read a weather file of h2twin's own form.

    With `keep_negative`, negative rain is passed on as it stands, for a flood run that fails just the members which
    hold some and lists them; nobody else should ask for it.

    Raises:
        InputError: If it is not of that form; negative rain names the member and the step.
        NaiveDatetimeError: If a time names no zone.
    """
    payload = mapping(read_json(body), "the weather file")
    _check_keys(payload, _KEYS, set(), "the weather file")
    interval_s = payload["interval_s"]
    if isinstance(interval_s, bool) or not isinstance(interval_s, int) or not 0 < interval_s <= _DAY_S:
        raise InputError(f"interval_s is {str(interval_s)[:40]}; it should be a whole number of seconds up to {_DAY_S}")
    members = tuple(
        _member(value, i, _RAIN[keep_negative]) for i, value in enumerate(sequence(payload["members"], "members"))
    )
    _check_unique(members)
    stated = payload["issued_at"]
    ensemble = WeatherEnsemble(
        source=text(payload["source"], "source"),
        issued_at=None if stated is None else moment(stated, "issued_at"),
        available_at=as_utc(now),
        gage_id=text(payload["gage_id"], "gage_id"),
        valid_from=moment(payload["valid_from"], "valid_from"),
        interval_s=interval_s,
        members=members,
    )
    _check_end(ensemble)
    return ensemble


def parse_file_steps(body: bytes) -> ParsedForecast:
    """Read a weather file of h2twin's own form as steps; errors as in `parse_file`."""
    ensemble = parse_file(body, now=_ANY_TIME)
    interval = timedelta(seconds=ensemble.interval_s)
    members = (
        checked_member(
            member.member,
            (
                ForecastStep(ensemble.valid_from + i * interval, ensemble.interval_s, rain_mm)
                for i, rain_mm in enumerate(member.rain_mm)
            ),
        )
        for member in ensemble.members
    )
    return ParsedForecast(ensemble.source, ensemble.issued_at, tuple(members))


def _member(value: Any, place: int, rain: Callable[[Any, str], float | None]) -> WeatherMember:
    value = mapping(value, f"members[{place}]")
    _check_keys(value, _MEMBER_KEYS, {"temperature_c"}, f"members[{place}]")
    name = value["member"]
    if isinstance(name, bool) or not isinstance(name, int | str) or len(str(name)) > 100:
        raise InputError(f"members[{place}].member should be a number or a short text")
    rain_mm = sequence(value["rain_mm"], f"member {name} rain_mm")
    temperature_c = sequence(value.get("temperature_c", []), f"member {name} temperature_c")
    if temperature_c and len(temperature_c) != len(rain_mm):
        raise InputError(f"member {name} has {len(temperature_c)} temperatures for {len(rain_mm)} steps")
    if len(rain_mm) > MAX_CELLS:
        raise InputError(f"member {name} has {len(rain_mm)} steps; {MAX_CELLS} are the most")
    return WeatherMember(
        str(name),
        tuple(rain(found, f"member {name} step {step} rain_mm") for step, found in enumerate(rain_mm)),
        tuple(
            _number_or_unknown(found, f"member {name} step {step} temperature_c")
            for step, found in enumerate(temperature_c)
        ),
    )


def _number_or_unknown(value: Any, where: str) -> float | None:
    return None if value is None else number(value, where)


_RAIN = {False: amount, True: _number_or_unknown}  # by keep_negative


def _check_keys(value: Mapping[str, Any], required: Set[str], optional: Set[str], where: str) -> None:
    missing, unknown = required - value.keys(), value.keys() - required - optional
    if missing:
        raise InputError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown:
        raise InputError(f"{where} holds unknown keys: {', '.join(sorted(unknown))[:200]}")


def _check_unique(members: tuple[WeatherMember, ...]) -> None:
    names = [member.member for member in members]
    if len(set(names)) < len(names):
        raise InputError(f"members appear twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))[:200]}")


def _check_end(ensemble: WeatherEnsemble) -> None:
    try:
        _ = ensemble.valid_from + timedelta(seconds=ensemble.steps * ensemble.interval_s)
    except OverflowError as error:
        raise InputError("the weather file ends after the last day there is") from error


_Version = tuple[str, int, int]  # name, time of change, size: another content is another version


class WeatherFiles:
    """The newest `*.json` of a folder that was issued by now, fulfilling `twin.ports.WeatherSource`.

    A file that cannot be read, or that does not say when it was issued, is passed over; the reason is logged once per
    version of the file, and kept for the error if no file is left. A file is available from when it was first seen,
    or from its issue if that is later.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"files in {folder.name}"
        self._folder = folder
        self._seen: dict[_Version, WeatherEnsemble | str] = {}

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        """Return the newest forecast with issued_at <= now; UnavailableError says what was wrong with each file."""
        now = as_utc(now)
        good: list[tuple[datetime, str, WeatherEnsemble]] = []
        reasons = []
        for version, found in self._read(now):
            if isinstance(found, str):
                reasons.append(f"{version[0]}: {found}")
            elif found.issued_at is not None and found.issued_at <= now:
                good.append((found.issued_at, version[0], found))
            else:
                reasons.append(f"{version[0]}: issued after {now.isoformat()}")
        if not good:
            shown = "; ".join(reasons[:5]) or "there is no *.json file"
            raise UnavailableError(f"no usable weather file in {self._folder}: {shown}")
        newest = max(good, key=lambda entry: entry[:2])[2]
        return replace(newest, available_at=min(max(newest.available_at, newest.issued_at or now), now))

    def _read(self, now: datetime) -> Iterator[tuple[_Version, WeatherEnsemble | str]]:
        try:
            paths = sorted(self._folder.glob("*.json"))
            versions = {path: (path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in paths}
        except OSError as error:
            raise UnavailableError(f"the weather folder {self._folder} cannot be read: {error}") from error
        self._seen = {version: self._seen[version] for version in versions.values() if version in self._seen}
        for path, version in versions.items():
            if version not in self._seen:
                self._seen[version] = self._parsed(path, now)
            yield version, self._seen[version]

    def _parsed(self, path: Path, now: datetime) -> WeatherEnsemble | str:
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise InputError(f"larger than {_MAX_BYTES} bytes")
            ensemble = parse_file(path.read_bytes(), now=now)
            if ensemble.issued_at is None:
                raise InputError("issued_at is null: nobody can tell whether it was known at a given time")
        except (InputError, OSError) as error:
            _log.warning("weather file %s is passed over: %s", path.name, error)
            return str(error)
        return ensemble
