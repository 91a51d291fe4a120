"""Lines into a gateway: what is read, what is told, and files that still grow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.gateway_feed import Flush, Item, csv_lines, feed, followed, json_lines
from ingest.outbox import OutboxFullError
from twin.errors import InputError

AT = datetime(2026, 1, 1, tzinfo=UTC)


def a_line(name: str) -> str:
    return f'{{"sensor_id": "{name}", "observed_at": "2026-01-01T00:00:00Z", "value": 1}}'


@dataclass
class Box:
    """Stands in for a gateway: takes all but the sensor `refuses`, and is full for the first `full_for` puts."""

    refuses: str = ""
    full_for: int = 0
    taken: list[str] = field(default_factory=list)

    def put(self, items: list[Item]) -> None:
        if self.full_for:
            self.full_for -= 1
            raise OutboxFullError("full")
        if any(item.sensor_id == self.refuses for item in items):
            raise InputError("not this one")
        self.taken += [item.sensor_id for item in items]

    def flush(self, timeout_s: float) -> int:
        return 0


def fed(box: Box, *lines: str) -> list[dict[str, Any]]:
    receipts: list[dict[str, Any]] = []
    feed(box, json_lines(lines), receipt=receipts.append)  # type: ignore[arg-type]
    return receipts


def test_every_line_has_its_receipt_in_order() -> None:
    box = Box(refuses="B")
    batch = f'{{"readings": [{a_line("C")}, {a_line("D")}]}}'
    receipts = fed(box, a_line("A"), a_line("B"), "", "nonsense", batch, '{"flush": 1}', a_line("E"))
    assert [sorted(receipt) for receipt in receipts] == [
        ["kept"], ["error", "problem"], ["error", "problem"], ["kept"], ["waiting"], ["kept"],
    ]  # fmt: skip
    assert [receipt.get("kept") for receipt in receipts] == [1, None, None, 2, None, 1]
    assert box.taken == ["A", "C", "D", "E"]


def test_a_full_outbox_is_told_with_receipts_and_waited_for_without() -> None:
    told = fed(Box(full_for=2), a_line("A"))
    assert told[0]["problem"] == "storage_full"
    waiting = Box(full_for=2)
    assert feed(waiting, json_lines([a_line("A")])) == 0  # type: ignore[arg-type]
    assert waiting.taken == ["A"]


def test_csv_is_read_by_its_header() -> None:
    lines = ["unit,value,sensor_id,observed_at\n", "bar,3.5,P-1,2026-01-01T00:00:00Z\n", "\n", "m,x,P-1,2026-01-01\n"]
    good, bad = csv_lines(lines)
    assert good == [Item("P-1", AT, 3.5, "bar")]
    assert isinstance(bad, InputError)
    with pytest.raises(InputError, match="must name the columns"):
        feed(Box(), csv_lines(["sensor,value\n", "P-1,2\n"]))  # type: ignore[arg-type]


@given(st.text(max_size=60))
def test_no_line_ends_the_feed(line: str) -> None:
    for read in json_lines([line]):
        assert isinstance(read, list | Flush | InputError)


def test_a_file_is_followed_and_half_a_line_is_waited_for(tmp_path: Path) -> None:
    path, stop = tmp_path / "readings.jsonl", threading.Event()
    path.write_text("one\ntw")
    lines: Iterator[str] = followed(path, follow=True, stop=stop)
    assert next(lines) == "one\n"
    with path.open("a") as file:
        file.write("o\nthree\nhal")
    assert [next(lines), next(lines)] == ["two\n", "three\n"]
    stop.set()
    assert list(lines) == [], "nobody has finished writing the last line"
    assert list(followed(path, follow=False, stop=stop)) == ["one\n", "two\n", "three\n", "hal"]
