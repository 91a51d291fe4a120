"""Every weather forecast that was ever got hold of."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from twin.clock import format_time
from twin.forecasts import WeatherEnsemble
from twin.storage.registry.documents import Document
from twin.storage.registry.part import Part, digest
from twin.storage.registry.schema import weather as table

_ENSEMBLE = Document(WeatherEnsemble)
_EVERY_GAGE = "*"


class SqlWeather(Part):
    """Fulfils `twin.ports.WeatherArchive`."""

    def save_weather(self, ensemble: WeatherEnsemble) -> None:
        """Keep a weather forecast; saving the same (source, gage, issued_at, available_at) again changes nothing."""
        row = {
            "digest": _identity(ensemble),
            "source": ensemble.source,
            "gage_id": ensemble.gage_id,
            "issued_at": ensemble.issued_at,
            "available_at": ensemble.available_at,
            "ranked_at": ensemble.issued_at or ensemble.available_at,
            "document": _ENSEMBLE.pack(ensemble),
        }
        unless_known = self._database.insert(table).on_conflict_do_nothing(index_elements=[table.c.digest])
        with self._database.write() as connection:
            connection.execute(unless_known, row)

    def latest_weather(self, *, known_at: datetime, gage_id: str | None = None) -> WeatherEnsemble | None:
        """Return the newest forecast that was available by `known_at`, or None.

        Newest is the one issued last (one that states no time of issue counts as issued when it became available);
        of one issue, the one that came last. With `gage_id`, forecasts for that gage and for every gage count, and
        where they are equally new the gage's own.
        """
        query = select(table.c.document).where(table.c.available_at <= known_at)
        newest_first = [table.c.ranked_at.desc(), table.c.available_at.desc()]
        if gage_id is not None:
            query = query.where(table.c.gage_id.in_([gage_id, _EVERY_GAGE]))
            newest_first.append((table.c.gage_id == _EVERY_GAGE).asc())
        query = query.order_by(*newest_first, table.c.weather_number.desc()).limit(1)
        with self._database.read() as connection:
            document = connection.execute(query).scalar_one_or_none()
        return None if document is None else _ENSEMBLE.unpack(bytes(document))


def _identity(ensemble: WeatherEnsemble) -> bytes:
    issued_at = "" if ensemble.issued_at is None else format_time(ensemble.issued_at)
    parts = (ensemble.source, ensemble.gage_id, issued_at, format_time(ensemble.available_at))
    return digest(*(part.encode("utf-8", "surrogatepass") for part in parts))
