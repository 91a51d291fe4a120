"""Readings from lines of text into a gateway: JSON lines or CSV, from a pipe or a file.

A JSON line is a reading, `{"sensor_id": "P-1", "observed_at": "2026-01-01T00:00:00Z", "value": 3.2, "unit": "m"}`, a
batch, `{"readings": [...]}`, or `{"flush": 30}`, which waits so many seconds for the broker. `unit` may be left out.
CSV has the columns `sensor_id,observed_at,value[,unit]`.

With receipts, every line is answered in order by one line of JSON as soon as its readings are on the disk:
`{"kept": 1}`, after a flush `{"waiting": 0}`, or `{"error": "...", "problem": "invalid_input"}`. Whoever feeds us may
forget a reading when its receipt is there. Without receipts a bad line is told and passed over, and a full outbox makes
the feed wait, so that the pipe fills up and nothing is lost.

`python -m ingest.gateway_feed --gateway-id ID --outbox FILE` is this on standard input, with receipts; the first line
is the broker's address, so that its password stands in no process list.
"""

from __future__ import annotations

import argparse
import csv
import json
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingest.decoders import strict_json
from ingest.decoders.times import read_time
from ingest.files.tables import parse_number
from ingest.gateway import Gateway
from ingest.outbox import Outbox, OutboxFullError
from twin.clock import SystemClock
from twin.errors import InputError, TwinError

_AT_ONCE = 1_000
_FOLLOW_EVERY_S = 0.5
_ROOM_AGAIN_S = 1.0
_CSV_COLUMNS = ("sensor_id", "observed_at", "value")


@dataclass(frozen=True, slots=True)
class Item:
    """One reading as it was fed."""

    sensor_id: str
    observed_at: datetime
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Flush:
    """The wish to wait for the broker."""

    timeout_s: float


Line = list[Item] | Flush | InputError
"""What a line says: readings, a flush, or why it cannot be read."""
Receipt = Callable[[dict[str, object]], None]
"""Is given the answer to each line."""


def json_lines(lines: Iterable[str]) -> Iterator[Line]:
    """Read JSON lines; empty ones are passed over."""
    for line in lines:
        if line.strip():
            try:
                yield _line(strict_json.load(line.encode("utf-8", "surrogateescape")))
            except InputError as error:
                yield error


def csv_lines(lines: Iterable[str]) -> Iterator[Line]:
    """Read CSV with a header.

    Raises:
        InputError: If the header lacks a column; nothing can be read then.
    """
    rows = csv.reader(lines)
    header = [name.strip() for name in next(rows, [])]
    lacking = [name for name in _CSV_COLUMNS if name not in header]
    if lacking:
        raise InputError(f"the first line must name the columns sensor_id,observed_at,value[,unit]; {lacking} lack")
    for row in rows:
        if any(cell.strip() for cell in row):
            cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
            try:
                value = parse_number(cells.get("value", ""))
                yield [Item(cells["sensor_id"], read_time(cells.get("observed_at")), value, cells.get("unit", ""))]
            except InputError as error:
                yield error


def followed(path: Path, *, follow: bool, stop: threading.Event) -> Iterator[str]:
    """Yield the lines of a file; with `follow`, also those that are added, until `stop` is set."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        begun = ""
        while True:
            line = begun + file.readline()
            if line.endswith("\n"):
                begun = ""
                yield line
                continue
            begun = line  # nobody has finished writing it
            if not follow or stop.wait(_FOLLOW_EVERY_S):
                break
        if begun and not follow:
            yield begun


def feed(
    gateway: Gateway,
    lines: Iterable[Line],
    *,
    receipt: Receipt | None = None,
    complain: Callable[[str], None] = lambda _: None,
) -> int:
    """Put every line into the gateway until they end; return how many could not be taken.

    Raises:
        UnavailableError: If the outbox cannot be used.
    """
    feeder = _Feeder(gateway, receipt, complain)
    for group in _together(lines):
        feeder.take(group)
    return feeder.bad_lines


class _Feeder:
    """Makes lines that come together durable together, and answers each."""

    def __init__(self, gateway: Gateway, receipt: Receipt | None, complain: Callable[[str], None]) -> None:
        self._gateway = gateway
        self._receipt = receipt
        self._complain = complain
        self._lines = 0
        self.bad_lines = 0

    def take(self, group: Sequence[Line]) -> None:
        readings: list[list[Item]] = []
        for line in group:
            if isinstance(line, list):
                readings.append(line)
                continue
            self._put(readings)
            readings = []
            if isinstance(line, Flush):
                self._answer({"waiting": self._gateway.flush(line.timeout_s)})
            else:
                self._refuse(line)
        self._put(readings)

    def _put(self, lines: Sequence[list[Item]]) -> None:
        try:
            self._put_all([item for line in lines for item in line])
        except (InputError, OutboxFullError) as error:
            if len(lines) == 1:
                self._refuse(error)
                return
            for line in lines:
                self._put([line])
        else:
            for line in lines:
                self._answer({"kept": len(line)})

    def _put_all(self, items: Sequence[Item]) -> None:
        while True:
            try:
                self._gateway.put(items)
                return
            except OutboxFullError as error:
                if self._receipt is not None:
                    raise
                self._complain(f"{error}; waiting for room")
                self._gateway.flush(_ROOM_AGAIN_S)

    def _refuse(self, error: TwinError) -> None:
        self.bad_lines += 1
        self._answer({"error": str(error), "problem": error.problem})
        self._complain(f"line {self._lines}: {error}")

    def _answer(self, answer: dict[str, object]) -> None:
        self._lines += 1
        if self._receipt is not None:
            self._receipt(answer)


@dataclass(frozen=True, slots=True)
class _End:
    """The end of the lines, and why they ended if that was not their own end."""

    error: Exception | None = None


def _together(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lines in groups: what has come while the group before was dealt with."""
    waiting: queue.Queue[Line | _End] = queue.Queue(maxsize=_AT_ONCE)

    def read() -> None:
        end = _End()
        try:
            for line in lines:
                waiting.put(line)
        except Exception as error:
            end = _End(error)
        waiting.put(end)

    threading.Thread(target=read, name="gateway-feed", daemon=True).start()
    while True:
        group, end = _what_came(waiting)
        if group:
            yield group
        if end is not None:
            if end.error is not None:
                raise end.error
            return


def _what_came(waiting: queue.Queue[Line | _End]) -> tuple[list[Line], _End | None]:
    group: list[Line] = []
    came = waiting.get()
    while not isinstance(came, _End):
        group.append(came)
        if waiting.empty() or len(group) >= _AT_ONCE:
            return group, None
        came = waiting.get()
    return group, came


def _line(said: object) -> Line:
    if not isinstance(said, dict):
        raise InputError(f"a line must be a JSON object, not {strict_json.brief(said)}")
    if "flush" in said:
        return Flush(strict_json.as_finite(said["flush"]))
    if "readings" not in said:
        return [_item(said)]
    if not isinstance(said["readings"], list):
        raise InputError("readings must be a list")
    return [_item(one) for one in said["readings"]]


def _item(said: object) -> Item:
    if not isinstance(said, dict):
        raise InputError(f"a reading must be a JSON object, not {strict_json.brief(said)}")
    unit = said.get("unit")
    name = said.get("sensor_id")
    if not isinstance(name, str) or not isinstance(unit, str | None):
        raise InputError("a reading must name its sensor_id, and its unit must be text")
    return Item(name, read_time(said.get("observed_at")), strict_json.as_finite(said.get("value")), unit or "")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ingest.gateway_feed", description=__doc__)
    parser.add_argument("--gateway-id", required=True)
    parser.add_argument("--outbox", required=True, type=Path)
    parser.add_argument("--singles", action="store_true", help="one message per reading instead of batches")
    options = parser.parse_args()
    broker_url = sys.stdin.readline().strip()
    if not broker_url:
        return
    with (
        Outbox(options.outbox, SystemClock()) as outbox,
        Gateway(broker_url, options.gateway_id, outbox, singles=options.singles) as gateway,
    ):
        feed(gateway, json_lines(sys.stdin), receipt=print_receipt)


def print_receipt(answer: dict[str, object]) -> None:
    """Print a receipt as a line of JSON on standard output."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main()
