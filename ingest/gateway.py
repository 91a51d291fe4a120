"""A gateway: a process that publishes readings and knows which of them the broker has acknowledged.

`python -m ingest.gateway --broker URL --gateway-id ID [--singles]` reads one command per line:
`{"publish": [{"sensor_id": "P-1", "observed_at": "2026-01-01T00:00:00Z", "value": 3.2, "unit": "m", "seq": 17}]}`
and answers each with `{"acknowledged": n}` readings when the broker has them all, or has had its time
(`--timeout`), or with `{"error": text}`. With `--broker -` the address is the first line, so that its password stands
in no process list. It ends when its standard input closes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol

from ingest.decoders.native import batch_topic, encode_batch, fits_topic, item_alone
from ingest.publisher import Publisher
from twin.clock import format_time
from twin.errors import ConfigError, TwinError, UnavailableError

__all__ = ["GatewayProcess", "Publisher", "Row"]

_BATCH = 500
_PATIENCE_S = 60.0


class Row(Protocol):
    """One reading as a gateway sends it."""

    @property
    def sensor_id(self) -> str:
        """Which sensor."""
        ...

    @property
    def observed_at(self) -> datetime:
        """When it was true (aware)."""
        ...

    @property
    def value(self) -> float:
        """The value in `unit`."""
        ...

    @property
    def unit(self) -> str:
        """The unit, or "" for the sensor's own."""
        ...


class GatewayProcess:
    """The parent's side of a gateway process. Readings that were published before are absorbed when sent again."""

    def __init__(
        self, broker_url: str, gateway_id: str, *, singles: bool = False, timeout_s: float = _PATIENCE_S
    ) -> None:
        if not fits_topic(gateway_id):
            raise ConfigError(f"gateway_id {gateway_id!r}: 1 to 256 characters without / + #")
        command = [sys.executable, "-m", "ingest.gateway", "--broker", "-", "--gateway-id", gateway_id]
        command += ["--timeout", str(timeout_s)] + (["--singles"] if singles else [])
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._tell(broker_url)

    def publish(self, rows: Sequence[Row]) -> int:
        """Publish rows and return how many of them the broker has acknowledged.

        Raises:
            UnavailableError: If the process is gone.
        """
        if not rows:
            return 0
        self._tell(json.dumps({"publish": [_item(row) for row in rows]}))
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise UnavailableError(f"the gateway process ended (exit code {self._child.poll()}); see its output")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UnavailableError(str(answer["error"]))
        return int(answer["acknowledged"])

    def close(self) -> None:
        """End the process."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._child.wait(10.0)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def __enter__(self) -> GatewayProcess:
        """Return the gateway."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    def _tell(self, line: str) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()
        except OSError as error:
            raise UnavailableError(f"the gateway process is gone (exit code {self._child.poll()})") from error


def messages_of(gateway_id: str, items: Sequence[Mapping[str, object]], *, singles: bool) -> list[tuple[str, bytes]]:
    """Return the native messages that carry `items`: one each, or batches of up to 500."""
    if singles:
        return [item_alone(gateway_id, str(item["sensor_id"]), item) for item in items]
    parts = [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]
    return [(batch_topic(gateway_id), encode_batch(part)) for part in parts]


def serve(broker_url: str, gateway_id: str, lines: Iterable[str], *, singles: bool, timeout_s: float) -> None:
    """Answer every line of commands on standard output."""
    with Publisher(broker_url, client_id=f"h2twin-gateway-{gateway_id}", timeout_s=timeout_s) as publisher:
        for line in lines:
            try:
                answer = _obey(publisher, gateway_id, json.loads(line), singles=singles)
            except (TwinError, ValueError, KeyError, TypeError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def _obey(publisher: Publisher, gateway_id: str, command: dict[str, Any], *, singles: bool) -> dict[str, object]:
    items = command["publish"]
    messages = messages_of(gateway_id, items, singles=singles)
    acknowledged = publisher.publish_all(messages)
    if acknowledged == len(messages):
        return {"acknowledged": len(items)}
    return {"acknowledged": min(acknowledged * (1 if singles else _BATCH), len(items))}


def _item(row: Row) -> dict[str, object]:
    item = {"sensor_id": row.sensor_id, "observed_at": format_time(row.observed_at), "value": row.value}
    return {**item, "unit": row.unit} if row.unit else item


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ingest.gateway", description=__doc__)
    parser.add_argument("--broker", required=True, help="mqtt[s]://user:password@host:port, or - to read it first")
    parser.add_argument("--gateway-id", required=True)
    parser.add_argument("--singles", action="store_true", help="one message per reading instead of batches")
    parser.add_argument("--timeout", type=float, default=_PATIENCE_S, help="seconds to wait for acknowledgements")
    options = parser.parse_args()
    broker_url = sys.stdin.readline().strip() if options.broker == "-" else options.broker
    if broker_url:
        serve(broker_url, options.gateway_id, sys.stdin, singles=options.singles, timeout_s=options.timeout)


if __name__ == "__main__":
    _main()
