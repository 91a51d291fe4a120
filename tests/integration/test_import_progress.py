"""The bar of a long import, on a real terminal and nowhere else."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running_service import environment

HEADER = "sensor_id,quantity,kind,unit,element_type,element_id,district,expected_every_s,low,high"
ROWS = 12_000


@pytest.fixture
def history(tmp_path: Path) -> Path:
    sensors = tmp_path / "sensors.csv"
    sensors.write_text(f"{HEADER}\nP-1,pressure,instant,m,none,,,60,,\n")
    subprocess.run([*command(tmp_path, "sensors", sensors)], env=environment(), check=True, capture_output=True)
    path = tmp_path / "history.csv"
    lines = [f"P-1,2026-01-{1 + n // 1440:02}T{n // 60 % 24:02}:{n % 60:02}:00Z,{n % 97}" for n in range(ROWS)]
    path.write_text("\n".join(["sensor_id,observed_at,value", *lines]) + "\n")
    return path


def command(folder: Path, kind: str, file: Path) -> list[str]:
    return [sys.executable, "-m", "api", "import", kind, str(file), "--data-dir", str(folder / "data")]


def on_a_terminal(*arguments: str, interrupt_at: bytes | None = None) -> tuple[str, str]:
    """Run a command whose standard error is a terminal; return standard output and what the terminal showed.

    When the terminal shows `interrupt_at`, the command is interrupted as by Ctrl-C.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        arguments, env={**environment(), "TERM": "xterm", "COLUMNS": "120"}, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # a terminal ends so
                break
            if not more:
                break
            shown += more
            if interrupt_at is not None and interrupt_at in shown:
                process.send_signal(signal.SIGINT)
                interrupt_at = None
        os.close(ours)
        assert process.stdout is not None
        out = process.stdout.read()
    assert process.returncode == 0, shown
    return out.decode(), shown.decode()


def test_a_terminal_shows_how_far_it_is(history: Path, tmp_path: Path) -> None:
    out, shown = on_a_terminal(*command(tmp_path, "readings", history))
    assert out == f"{ROWS} stored, 0 duplicates, 0 dead letters\n"
    assert "history.csv" in shown
    assert f"{ROWS}/{ROWS}" in shown
    assert "rows/s" in shown


def test_elsewhere_there_is_none(history: Path, tmp_path: Path) -> None:
    out, shown = on_a_terminal(*command(tmp_path, "readings", history), "--json")
    assert (json.loads(out)["stored"], shown) == (ROWS, "")
    again = subprocess.run(
        [*command(tmp_path, "readings", history)], env=environment(), check=True, capture_output=True, text=True
    )
    assert (again.stdout, again.stderr) == (f"0 stored, {ROWS} duplicates, 0 dead letters\n", "")


def test_an_interrupted_one_says_how_to_go_on_and_does(history: Path, tmp_path: Path) -> None:
    out, shown = on_a_terminal(*command(tmp_path, "readings", history), interrupt_at=f"/{ROWS}".encode())
    assert out == ""
    assert "stopped: what was imported stays, and the same command goes on from there" in shown
    again = subprocess.run(
        [*command(tmp_path, "readings", history), "--json"], env=environment(), check=True, capture_output=True
    )
    counts = json.loads(again.stdout)
    assert counts["stored"] + counts["duplicates"] + counts.get("rows_done_before", 0) == ROWS
