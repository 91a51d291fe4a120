"""Brings a database up to this version's tables, or refuses it by name when a newer version has been at it."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from twin.errors import ConfigError
from twin.storage import migrations
from twin.storage.registry.database import Database

_TURNS = 0x6832_7477_696E  # "h2twin", as the number of PostgreSQL's advisory lock
_PATIENCE_MS = 120_000
_ONE_AT_A_TIME = threading.Lock()  # in this process: Alembic keeps its context in globals


def migrate(database: Database) -> None:
    """Upgrade to the newest tables; when several processes start at once, one does it and the others wait.

    Raises:
        ConfigError: If the database was written by a newer version.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    scripts = ScriptDirectory(str(_folder()))
    with database.read() as connection:
        if _is_current(connection, scripts, database.name):
            return
    with _ONE_AT_A_TIME, database.write() as connection:
        _wait_longer(connection)
        database.take_turns(connection, _TURNS)
        if not _is_current(connection, scripts, database.name):
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
            command.upgrade(config, "head")


def _folder() -> Path:
    return Path(migrations.__path__[0])


def _is_current(connection: Connection, scripts: ScriptDirectory, name: str) -> bool:
    found = set(MigrationContext.configure(connection).get_current_heads())
    known = {script.revision for script in scripts.walk_revisions()}
    if not found <= known:
        newer = ", ".join(sorted(found - known))
        raise ConfigError(
            f"the database {name} was written by a newer h2twin (schema {newer}; this one knows up to "
            f"{scripts.get_current_head()}): start that version, or restore a backup made by this one"
        )
    return found == set(scripts.get_heads())


def _wait_longer(connection: Connection) -> None:
    """Let this transaction wait for a migration that another process is busy with."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = {_PATIENCE_MS}"))
