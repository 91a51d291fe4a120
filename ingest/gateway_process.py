"""A gateway in a process of its own, as the demo and replays have one: nothing reaches the store but by the broker."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ingest.decoders.native import fits_topic
from ingest.outbox import Row
from twin.clock import format_time
from twin.errors import ConfigError, UnavailableError

_PATIENCE_S = 60.0


class GatewayProcess:
    """The parent's side of `python -m ingest.gateway_feed`."""

    def __init__(
        self,
        broker_url: str,
        gateway_id: str,
        outbox: Path,
        *,
        singles: bool = False,
        timeout_s: float = _PATIENCE_S,
    ) -> None:
        if not fits_topic(gateway_id):
            raise ConfigError(f"gateway_id {gateway_id!r}: 1 to 256 characters without / + #")
        command = [sys.executable, "-m", "ingest.gateway_feed", "--gateway-id", gateway_id, "--outbox", str(outbox)]
        self._timeout_s = timeout_s
        self._child = subprocess.Popen(
            command + (["--singles"] if singles else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._tell(broker_url)

    def publish(self, rows: Sequence[Row]) -> int:
        """Put rows into the outbox and wait for the broker; return how many of them it has acknowledged by then.

        The others stay in the outbox and are sent as soon as it can be.

        Raises:
            UnavailableError: If the process is gone, or took none of them.
        """
        if not rows:
            return 0
        self._tell(json.dumps({"readings": [_item(row) for row in rows]}))
        self._tell(json.dumps({"flush": self._timeout_s}))
        put, flushed = self._answer(), self._answer()
        if "error" in put:
            raise UnavailableError(str(put["error"]))
        return max(0, len(rows) - int(flushed["waiting"]))

    def close(self) -> None:
        """End the process; what the broker does not have stays in the outbox."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._child.wait(15.0)
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

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise UnavailableError(f"the gateway process ended (exit code {self._child.poll()}); see its output")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _tell(self, line: str) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()
        except OSError as error:
            raise UnavailableError(f"the gateway process is gone (exit code {self._child.poll()})") from error


def _item(row: Row) -> dict[str, object]:
    item = {"sensor_id": row.sensor_id, "observed_at": format_time(row.observed_at), "value": row.value}
    return {**item, "unit": row.unit} if row.unit else item
