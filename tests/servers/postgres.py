"""A real PostgreSQL on a free port, in a private folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.process import free_port, running


def find() -> str | None:
    """Return the folder of PostgreSQL's programs, or None where the server is not installed."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return str(folder)
    initdb = shutil.which("initdb")
    return str(Path(initdb).parent) if initdb else None


@contextmanager
def postgres(folder: Path, *, port: int | None = None) -> Iterator[str]:
    """Run a server with an empty database; yield its SQLAlchemy URL.

    PostgreSQL refuses to run as root, so root drops to its user.
    """
    port = port or free_port()
    programs = Path(find() or "/usr/bin")
    data = folder / "pgdata"
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        folder.mkdir(parents=True, exist_ok=True)
        owner = pwd.getpwnam(user)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    if not data.exists():
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "h2twin", "--auth=trust", "--encoding=UTF8", "--no-sync"],
            check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
    command = [
        str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder),
    ]  # fmt: skip

    def ready() -> bool:
        check = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-U", "h2twin"]
        return subprocess.run(check, stdout=subprocess.DEVNULL).returncode == 0

    with running(command, log=folder / "postgres.log", ready=ready, user=user, cwd=folder):
        yield f"postgresql+psycopg://h2twin@127.0.0.1:{port}/postgres"
