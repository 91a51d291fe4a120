"""`h2twin backup` and `restore`: a consistent copy while a writer writes, and nothing lost or overwritten."""

from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from command_line import CommandLine
from served import a_letter, customers
from servers.process import wait_until

from twin.storage.registry import open_registry

WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from twin.readings import Reading
from twin.storage.sqlite_readings import SqliteReadings

store = SqliteReadings(Path(sys.argv[1]))
start = datetime(2026, 1, 1, tzinfo=UTC)
for batch in range(100_000):
    moments = [start + timedelta(seconds=10 * batch + i) for i in range(10)]
    store.append([Reading("P1", at, at, 1.0, "m", 1.0, "m") for at in moments])
"""


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def _furnish(h2twin: CommandLine) -> None:
    h2twin.ok("keys", "create", "--role", "admin", "--name", "test")
    registry = open_registry(f"sqlite:///{h2twin.data_dir / 'registry.db'}")
    registry.upsert_customers(customers(7))
    registry.bury([a_letter()])
    registry.close()


def _rows(path: Path, question: str) -> int:
    with closing(sqlite3.connect(path, timeout=30)) as database:
        return int(database.execute(question).fetchone()[0])


def test_a_backup_taken_while_a_writer_writes_restores_to_a_consistent_copy(
    h2twin: CommandLine, tmp_path: Path
) -> None:
    _furnish(h2twin)
    live, archive, restored = h2twin.data_dir / "readings.db", tmp_path / "b.tar.gz", tmp_path / "restored"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(live)], cwd=Path(__file__).parents[2])
    try:
        wait_until(lambda: live.exists() and _tally(live) >= 100, what="the first rows")
        before = _tally(live)
        outcome = h2twin.ok("backup", archive)
        after = _tally(live)
        assert writer.poll() is None, "the writer was disturbed"
    finally:
        writer.kill()
        writer.wait()
    assert outcome["bytes"] == archive.stat().st_size
    assert (archive.stat().st_mode & 0o777) == 0o600
    again = h2twin.ok("restore", archive, "--data-dir", restored)
    assert again["files"] == outcome["files"]
    assert (restored.stat().st_mode & 0o777) == 0o700
    kept = _rows(restored / "readings.db", "SELECT count(*) FROM reading")
    assert before <= kept <= after
    assert kept == _tally(restored / "readings.db"), "the copy is of one moment"
    for table, expected in (("customers", 7), ("dead_letters", 1), ("api_keys", 1)):
        assert _rows(restored / "registry.db", f"SELECT count(*) FROM {table}") == expected
    assert (restored / "registry.db").stat().st_mode & 0o077 == 0
    assert len(h2twin.ok("keys", "list", "--data-dir", restored)["items"]) == 1


def _tally(path: Path) -> int:
    try:
        return _rows(path, "SELECT readings FROM tally")
    except sqlite3.OperationalError:
        return 0


def test_neither_an_archive_nor_a_folder_is_ever_overwritten(h2twin: CommandLine, tmp_path: Path) -> None:
    _furnish(h2twin)
    archive = tmp_path / "b.tar.gz"
    h2twin.ok("backup", archive)
    before = archive.read_bytes()
    assert h2twin("backup", archive).code == 2
    assert archive.read_bytes() == before
    full = h2twin("restore", archive)
    assert full.code == 2
    assert str(h2twin.data_dir) in full.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz", "data"]


@pytest.mark.parametrize(
    ("where", "code"),
    [
        pytest.param("data/b.tar.gz", 2, id="inside the data folder"),
        pytest.param("absent/b.tar.gz", 2, id="in a folder that is not there"),
    ],
)
def test_a_backup_to_a_useless_place_is_refused(h2twin: CommandLine, tmp_path: Path, where: str, code: int) -> None:
    _furnish(h2twin)
    answer = h2twin("backup", tmp_path / where, "--json")
    assert (answer.code, answer.out) == (code, "")
    assert "unexpected" not in answer.err


def test_a_backup_of_no_data_folder_says_so(h2twin: CommandLine, tmp_path: Path) -> None:
    answer = h2twin("backup", tmp_path / "b.tar.gz")
    assert answer.code == 3
    assert "--data-dir" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_the_broker_s_password_is_in_no_backup(h2twin: CommandLine, tmp_path: Path) -> None:
    _furnish(h2twin)
    (h2twin.data_dir / "broker.url").write_text("mqtt://h2twin:secret@127.0.0.1:1883")
    h2twin.ok("backup", tmp_path / "b.tar.gz")
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        assert "broker.url" not in tar.getnames()
        assert "registry.db" in tar.getnames()


def test_what_is_kept_on_servers_is_said_not_to_be_in_the_backup(h2twin: CommandLine, tmp_path: Path) -> None:
    _furnish(h2twin)
    h2twin.set("TWIN_DATABASE_URL", "postgresql+psycopg://h2twin@127.0.0.1:1/h2twin")
    h2twin.set("TWIN_INFLUX_URL", "http://127.0.0.1:1")
    h2twin.set("TWIN_INFLUX_TOKEN", "a-token-for-the-test")
    answer = h2twin("backup", tmp_path / "b.tar.gz", "--json")
    assert answer.code == 0
    assert len(answer.json["not_included"]) == 2
    assert "pg_dump" in answer.err
    assert "influx backup" in answer.err


def _tar(**files: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no archive", id="no archive"),
        pytest.param(_tar(readme=b"holiday pictures"), id="an archive of something else"),
        pytest.param(_tar(**{"registry.db": bytes(range(256)) * 400})[:-900], id="cut short"),
        pytest.param(_tar(**{"registry.db": b"x", "../escaped": b"x"}), id="a file that wants out of the folder"),
    ],
)
def test_what_is_no_backup_leaves_nothing_behind(h2twin: CommandLine, tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "b.tar.gz"
    archive.write_bytes(content)
    answer = h2twin("restore", archive, "--json")
    assert (answer.code, answer.out) == (3, "")
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar.gz"]
