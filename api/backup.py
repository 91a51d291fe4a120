"""A data folder as one archive. SQLite databases go through their own backup, so the service may go on meanwhile."""

from __future__ import annotations

import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from twin.errors import ConfigError, InputError, NotFoundError

_DATABASE_ENDINGS = (".db", ".sqlite")
_PASSING = ("-wal", "-shm", "-journal", ".lock", ".pid")
"""Files that belong to a running process and mean nothing in a copy."""


def write_backup(folder: Path, archive: Path) -> dict[str, int]:
    """Copy every file of `folder` into a gzip'd tar at `archive`; return the numbers of files and bytes.

    Raises:
        NotFoundError: If there is no such data folder.
        ConfigError: If the archive exists already; a backup never overwrites another.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no data folder at {folder}; name it with --data-dir")
    if archive.exists():
        raise ConfigError(f"{archive} exists already; choose another name")
    half = archive.with_name(archive.name + ".part")
    with tempfile.TemporaryDirectory(dir=archive.resolve().parent) as work, tarfile.open(half, "w:gz") as tar:
        names = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(_PASSING))
        for path in names:
            source = _database_copy(path, Path(work)) if path.name.endswith(_DATABASE_ENDINGS) else path
            tar.add(source, arcname=path.relative_to(folder))
    half.chmod(0o600)
    half.rename(archive)
    return {"files": len(names), "bytes": archive.stat().st_size}


def read_backup(archive: Path, folder: Path) -> dict[str, int]:
    """Unpack a backup into an absent or empty `folder`; return the number of files.

    Raises:
        ConfigError: If the folder holds something already.
        InputError: If the file is no backup of h2twin.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; restore into a new folder with --data-dir")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = tar.getmembers()
            tar.extractall(folder, members=members, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{archive} is no backup of h2twin: {error}") from error
    return {"files": sum(member.isfile() for member in members)}


def _database_copy(path: Path, work: Path) -> Path:
    copy = work / path.name
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy
