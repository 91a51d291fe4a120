"""A data folder as one archive; SQLite databases through their own backup, so a running service is no hindrance."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from api.settings import Settings
from twin.errors import ConfigError, InputError, NotFoundError, TwinError, UnavailableError

_DATABASE_ENDINGS = (".db", ".sqlite")
_PASSING = ("-wal", "-shm", "-journal", ".lock", ".pid", ".part")
"""Files that belong to a running process and mean nothing in a copy."""
_PASSING_FILES = frozenset({"broker.url"})
"""The embedded broker's address and password, in clear: a restored installation makes new ones."""


def write_backup(folder: Path, archive: Path) -> dict[str, int]:
    """Copy every file of `folder` into a gzip'd tar at `archive`; return the numbers of files and bytes.

    The archive holds customers: only its owner can read it, from the first byte on.

    Raises:
        NotFoundError: If there is no such data folder.
        ConfigError: If the archive exists already (a backup never overwrites another), lies inside the data folder,
            or its folder does not exist.
        UnavailableError: If it cannot be written, or a database cannot be read; no archive is left then.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no data folder at {folder}; name it with --data-dir")
    if archive.exists():
        raise ConfigError(f"{archive} exists already; choose another name")
    if archive.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{archive} lies inside the data folder; write the backup somewhere else")
    if not archive.resolve().parent.is_dir():
        raise ConfigError(f"there is no folder {archive.resolve().parent} for the backup")
    half = archive.with_name(archive.name + ".part")
    try:
        names = _pack(folder, half)
        half.rename(archive)
    except (OSError, sqlite3.Error) as error:
        half.unlink(missing_ok=True)
        raise UnavailableError(f"the backup {archive} could not be written: {error}") from error
    return {"files": len(names), "bytes": archive.stat().st_size}


def read_backup(archive: Path, folder: Path) -> dict[str, int]:
    """Unpack a backup into an absent or empty `folder`; return the number of files.

    All or nothing: it is unpacked beside the folder first.

    Raises:
        ConfigError: If the folder holds something already, or cannot be made.
        InputError: If the file is no backup of h2twin.
        UnavailableError: If there is no room for it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; restore into a new folder with --data-dir")
    with _beside(folder) as unpacked:
        files = _unpack(archive, unpacked)
        if folder.exists():
            folder.rmdir()
        unpacked.rename(folder)
    return {"files": files}


def kept_elsewhere(settings: Settings) -> list[str]:
    """Return what an installation keeps on servers, with the command that saves it: no copy of the folder has it."""
    parts = []
    if settings.database_url is not None:
        parts.append("the registry is in PostgreSQL (TWIN_DATABASE_URL): save it with pg_dump")
    if settings.influx_url is not None:
        parts.append("the readings are in InfluxDB (TWIN_INFLUX_URL): save them with influx backup")
    return parts


def _is_passing(path: Path) -> bool:
    return path.name.endswith(_PASSING) or path.name in _PASSING_FILES


def _pack(folder: Path, half: Path) -> list[Path]:
    """Pack the databases, then every other file: a file that a database names (a sealed day) was there before it."""
    half.unlink(missing_ok=True)
    private = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(private, "wb") as file,
        tempfile.TemporaryDirectory(dir=half.resolve().parent) as work,
        tarfile.open(fileobj=file, mode="w:gz") as tar,
    ):
        databases = [path for path in _files(folder) if path.name.endswith(_DATABASE_ENDINGS)]
        for path in databases:
            tar.add(_database_copy(path, Path(work)), arcname=path.relative_to(folder))
        others = [path for path in _files(folder) if not path.name.endswith(_DATABASE_ENDINGS)]
        for path in others:
            tar.add(path, arcname=path.relative_to(folder))
        return databases + others


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not _is_passing(path))


def _database_copy(path: Path, work: Path) -> Path:
    copy = work / path.name
    copy.unlink(missing_ok=True)
    copy.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Yield a fresh private folder next to `folder`; what is left of it at the end is removed."""
    try:
        folder.resolve().parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.resolve().parent))
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error}") from error
    try:
        yield made
    except OSError as error:
        raise UnavailableError(f"cannot restore into {folder}: {error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _unpack(archive: Path, into: Path) -> int:
    wrong: TwinError = InputError(f"{archive} is no backup of h2twin")
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = tar.getmembers()
            if not any(member.name.endswith(_DATABASE_ENDINGS) for member in members):
                raise wrong
            tar.extractall(into, members=members, filter="data")
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise wrong from error
    except OSError as error:
        if error.errno is None:  # gzip's word for a broken file
            raise wrong from error
        raise
    return sum(member.isfile() for member in members)
