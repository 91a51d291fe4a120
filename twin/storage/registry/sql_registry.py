"""The registry: every relational port in one database, SQLite or PostgreSQL."""

from __future__ import annotations

from sqlalchemy import delete, insert

from twin.ports import Registry
from twin.storage.registry.audit import SqlAudit
from twin.storage.registry.coordination import SqlCoordination
from twin.storage.registry.customers import SqlCustomers
from twin.storage.registry.database import Database
from twin.storage.registry.dead_letters import SqlDeadLetters
from twin.storage.registry.engine import make_engine, parse_url
from twin.storage.registry.events import SqlEvents
from twin.storage.registry.forecasts import SqlForecasts
from twin.storage.registry.gaps import SqlGaps
from twin.storage.registry.imports import SqlImports
from twin.storage.registry.incidents import SqlIncidents
from twin.storage.registry.keys import SqlKeys
from twin.storage.registry.migrating import migrate
from twin.storage.registry.model_files import SqlModelFiles
from twin.storage.registry.notices import SqlNotices
from twin.storage.registry.residuals import SqlResiduals
from twin.storage.registry.scenarios import SqlScenarios
from twin.storage.registry.schema import probes
from twin.storage.registry.sensors import SqlSensors
from twin.storage.registry.states import SqlStates
from twin.storage.registry.trust import SqlTrust
from twin.storage.registry.valves import SqlValves
from twin.storage.registry.weather import SqlWeather
from twin.storage.registry.windows import SqlStaleMarks, SqlWindows

_FILLER = bytes(8192)
"""More than a page of SQLite, so that a check needs new room and not only the right to change old."""


class SqlRegistry(
    SqlDeadLetters,
    SqlSensors,
    SqlCustomers,
    SqlValves,
    SqlIncidents,
    SqlNotices,
    SqlForecasts,
    SqlWeather,
    SqlStates,
    SqlModelFiles,
    SqlKeys,
    SqlAudit,
    SqlCoordination,
    SqlEvents,
    SqlGaps,
    SqlWindows,
    SqlStaleMarks,
    SqlImports,
    SqlTrust,
    SqlResiduals,
    SqlScenarios,
):
    """Fulfils `twin.ports.Registry`. Safe to share between threads; several processes may open the same database."""

    def check(self) -> None:
        """Return if the database answers and can be written; raise UnavailableError or StorageFullError if not."""
        with self._database.write() as connection:
            probe = connection.execute(insert(probes).returning(probes.c.probe_id), {"filler": _FILLER}).scalar_one()
            connection.execute(delete(probes).where(probes.c.probe_id == probe))

    def close(self) -> None:
        """Release connections."""
        self._database.close()


def open_registry(url: str, *, lock_timeout_s: float = 10.0) -> Registry:
    """Open the registry at `sqlite:///path` or `postgresql://…`, made or brought up to date if need be.

    A lock that another process holds is waited for up to `lock_timeout_s` seconds, here and in every method.

    Raises:
        ConfigError: If the URL is of another kind, or a newer h2twin wrote the database.
        UnavailableError: If the database is away.
        StorageFullError: If there is no room for the tables.
    """
    database = Database(make_engine(parse_url(url), timeout_s=lock_timeout_s))
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return SqlRegistry(database)
