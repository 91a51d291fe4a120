"""The ladder: the best weather forecast there is, and an honest label of what it is.

ensemble -> deterministic -> the last good forecast, while it still covers the hours ahead -> climatology.
Each rung that falls leaves its cause on the ensemble returned; every success of a provider is kept in the archive.
A forecast of one or two members is deterministic whatever it was asked as, and is dressed with members
(`ingest.weather.dressing`): without them no flood could ever be called likely. The archive keeps it as it was issued.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ingest.weather.climatology import Climatology
from ingest.weather.dressing import is_bare, with_members
from twin.clock import as_utc
from twin.errors import InputError, TwinError, UnavailableError
from twin.forecasts import Rung, WeatherEnsemble, WeatherMember
from twin.ports import WeatherArchive, WeatherSource

_log = logging.getLogger(__name__)


class WeatherLadder:
    """A weather source that falls from rung to rung, fulfilling `twin.ports.WeatherSource`.

    A forecast counts if it was issued (or, where that is unknown, fetched) within `max_age`, not after now, and if at
    least half of its members know every step of the `must_cover` ahead.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Rung, WeatherSource]],
        archive: WeatherArchive,
        climatology: WeatherSource | None = None,
        *,
        max_age: timedelta = timedelta(hours=24),
        must_cover: timedelta = timedelta(hours=6),
        gage_id: str | None = None,
    ) -> None:
        self.name = "weather ladder"
        self._sources = tuple(sources)
        self._archive = archive
        self._climatology = climatology or Climatology()
        self._max_age = max_age
        self._must_cover = must_cover
        self._gage_id = gage_id

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        """Return the forecast of the best rung that holds, labelled with its rung and the causes of the fallen ones."""
        now = as_utc(now)
        causes: list[str] = []
        for rung, source in self._sources:
            try:
                found = self._usable(source.fetch(now=now), now)
            except (UnavailableError, InputError) as error:
                causes.append(f"{rung} ({source.name}): {error}")
                continue
            fetched = replace(found, rung=Rung.DETERMINISTIC if is_bare(found) else rung, causes=tuple(causes))
            self._keep(fetched)
            return with_members(fetched)
        try:
            return with_members(replace(self._last_good(now), rung=Rung.LAST_GOOD, causes=tuple(causes)))
        except TwinError as error:
            causes.append(f"{Rung.LAST_GOOD}: {error}")
        return replace(self._climatology.fetch(now=now), rung=Rung.CLIMATOLOGY, causes=tuple(causes))

    def _last_good(self, now: datetime) -> WeatherEnsemble:
        kept = self._archive.latest_weather(known_at=now, gage_id=self._gage_id)
        if kept is None:
            raise UnavailableError("the archive holds no forecast known by now")
        return self._usable(kept, now)

    def _usable(self, ensemble: WeatherEnsemble, now: datetime) -> WeatherEnsemble:
        made_at = ensemble.issued_at or ensemble.available_at
        if made_at > now:
            raise InputError(f"issued at {made_at.isoformat()}, which is still to come")
        if now - made_at > self._max_age:
            raise UnavailableError(f"issued at {made_at.isoformat()}, older than {self._max_age}")
        if not ensemble.members:
            raise UnavailableError("it states no amounts of rain (no members)")
        knowing = sum(self._knows_ahead(ensemble, member, now) for member in ensemble.members)
        if 2 * knowing < len(ensemble.members):
            raise UnavailableError(
                f"only {knowing} of {len(ensemble.members)} members know all of the {self._must_cover} ahead"
            )
        return ensemble

    def _knows_ahead(self, ensemble: WeatherEnsemble, member: WeatherMember, now: datetime) -> bool:
        interval = timedelta(seconds=ensemble.interval_s)
        first = (now - ensemble.valid_from) // interval
        last = -((ensemble.valid_from - now - self._must_cover) // interval)
        if first < 0 or last > len(member.rain_mm):
            return False
        return all(value is not None for value in member.rain_mm[first:last])

    def _keep(self, ensemble: WeatherEnsemble) -> None:
        """Archive a success. A full or absent archive must not cost the cycle its forecast: it is logged instead."""
        try:
            self._archive.save_weather(ensemble)
        except UnavailableError as error:
            _log.warning("the forecast of %s could not be archived: %s", ensemble.source, error)
