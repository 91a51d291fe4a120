"""`h2twin ingest sniff` on a real broker: what it prints reads what was heard, and nobody else loses a message."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import CommandLine
from servers.mosquitto import mosquitto
from servers.process import free_port

from ingest.mappings import parse_mappings
from ingest.publisher import Publisher

pytestmark = pytest.mark.needs_mosquitto
ROWS = [
    (f"site/tank{n}/data", json.dumps({"ts": 1767268800000 + n, "level_m": 3.5, "rssi": -80}).encode())
    for n in range(5)
]


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@contextmanager
def published_again_and_again(port: int) -> Iterator[None]:
    done = threading.Event()

    def run() -> None:
        with Publisher(f"mqtt://127.0.0.1:{port}") as publisher:
            while not done.wait(0.1):
                publisher.publish_all(ROWS)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)


def test_what_is_heard_becomes_a_mapping_that_reads_it(h2twin: CommandLine, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as (port, _), published_again_and_again(port):
        url = f"mqtt://127.0.0.1:{port}"
        out = tmp_path / "mappings.toml"
        told = h2twin("ingest", "sniff", "--mqtt-url", url, "--seconds", "2", "--json", "--out", str(out))
        plain = h2twin("ingest", "sniff", "--mqtt-url", url, "--seconds", "1", "--topic", "site/#")
        again = h2twin("ingest", "sniff", "--mqtt-url", url, "--out", str(out))
    document = json.loads(told.out)
    assert told.code == 0, told.err
    assert document["toml"] == out.read_text(encoding="utf-8")
    assert document["read"] == document["caught"] > 0
    assert [source["decoder"] for source in document["sources"]] == ["json_path"]
    assert document["written_to"] == str(out)
    [source] = parse_mappings(plain.out)
    assert source.sensors is not None
    assert source.sensors["tank3/level_m"] == "tank3-level_m"
    assert "reads" in plain.err
    assert (again.code, "is there already" in again.err) == (3, True)


def test_nothing_heard_says_what_to_check(h2twin: CommandLine, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as (port, _):
        told = h2twin("ingest", "sniff", "--mqtt-url", f"mqtt://127.0.0.1:{port}", "--seconds", "1")
    assert (told.code, told.out) == (0, "")
    assert "Nothing came on #" in told.err
    assert "--topic" in told.err


def test_a_broker_that_is_away_is_exit_code_4(h2twin: CommandLine) -> None:
    told = h2twin("ingest", "sniff", "--mqtt-url", f"mqtt://127.0.0.1:{free_port()}", "--seconds", "1")
    assert told.code == 4
    assert "cannot be reached" in told.err
