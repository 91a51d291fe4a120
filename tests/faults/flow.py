"""The messages of a run, all drawn from its seed: mostly single readings, and everything that gateways get wrong."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from faults.ledger import WRONG_UNIT, Planned

SENSORS = 4
"""Pressure sensors of every gateway, named `{gateway}-{number}`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POISON = (
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"[" * 50_000,
    b'{"observed_at": "2026-01-01T00:00:00Z", "value": NaN}',
    b'{"observed_at": "2026-01-01T00:00:00Z", "value": 1e999}',
    b'{"observed_at": "2026-01-01T00:00:00", "value": 1}',
    b'{"observed_at": "9999-99-99T00:00:00Z", "value": 1}',
    b'{"value": 1, "observed_at": ' + b"1" * 5_000 + b"}",
    b'{"readings": {}}',
    b'{"readings": [[[[1]]]]}',
    b"x" * 300_000,
)


@dataclass(frozen=True)
class Flow:
    """How many messages, of which gateways (`{name}-{number}`), ending at a moment, a millisecond from one another.

    `bad` is the share of everything that is not a single good reading, `poison` that of the worst. With `contradicts`
    some have a time that was had before, with another value.
    """

    seed: int
    count: int
    end_us: int
    name: str = "g"
    gateways: int = 40
    bad: float = 0.1
    poison: float = 0.0
    contradicts: bool = True

    @property
    def sensor_ids(self) -> list[str]:
        return [f"{self.name}-{g}-{s}" for g in range(self.gateways) for s in range(SENSORS)]

    def messages(self) -> list[Planned]:
        """Return the distinct messages in the order of their numbers."""
        seen: dict[tuple[str, bytes], Planned] = {}
        for message in self._draw():
            seen.setdefault((message.topic, message.payload), message)
        return list(seen.values())

    def order(self) -> list[int]:
        """Return the numbers in the order of sending: about every hundredth message is sent a second time."""
        draw = random.Random(self.seed + 1)
        numbers = [message.n for message in self.messages()]
        order: list[int] = []
        for place, n in enumerate(numbers):
            order.append(n)
            if draw.random() < self.bad / 10:
                order.append(numbers[draw.randint(max(0, place - 500), place)])
        return order

    def _draw(self) -> Iterator[Planned]:
        draw = random.Random(self.seed)
        last: tuple[str, str, dict[str, object]] | None = None
        seqs = Counter[str]()
        for n in range(self.count):
            gateway = f"{self.name}-{draw.randrange(self.gateways)}"
            sensor_id = f"{gateway}-{draw.randrange(SENSORS)}"
            if draw.random() < self.poison:
                yield Planned(n, f"h2/{gateway}/{sensor_id}", _padded(draw.choice(_POISON), n), is_bad=True)
            elif draw.random() >= self.bad:
                item = {**self._item(n), "seq": seqs[sensor_id]}
                seqs[sensor_id] += 1
                last = (gateway, sensor_id, item)
                yield Planned(n, f"h2/{gateway}/{sensor_id}", json.dumps(item).encode())
            else:
                yield self._odd(n, draw, gateway, sensor_id, last)

    def _odd(
        self,
        n: int,
        draw: random.Random,
        gateway: str,
        sensor_id: str,
        last: tuple[str, str, dict[str, object]] | None,
    ) -> Planned:
        """Return a batch, a reading in a wrong unit, one of an unknown sensor, a broken one, or one that conflicts."""
        what = draw.choice(("batch", "batch", "unit", "unknown", "broken", "conflict"))
        topic, item = f"h2/{gateway}/{sensor_id}", self._item(n)
        if what == "batch":
            items = [
                {"sensor_id": f"{gateway}-{s}", **self._item(n, s), **({"unit": WRONG_UNIT} if s == 3 else {})}
                for s in range(draw.randint(1, SENSORS))
            ]
            return Planned(n, f"h2/{gateway}", json.dumps({"readings": items}).encode())
        if what == "conflict" and self.contradicts and last is not None:
            topic, item = f"h2/{last[0]}/{last[1]}", {**last[2], "value": n / 1000 + 1e6}
        elif what == "unit":
            item["unit"] = WRONG_UNIT
        elif what == "unknown":
            return Planned(n, f"h2/{gateway}/nobody-{n}", json.dumps(item).encode(), is_bad=True)
        elif what == "broken":
            return Planned(n, topic, json.dumps(item).encode()[:-9], is_bad=True)
        return Planned(n, topic, json.dumps(item).encode())

    def _item(self, n: int, offset_us: int = 0) -> dict[str, object]:
        at = _EPOCH + timedelta(microseconds=self.end_us - (self.count - n) * 1000 + offset_us)
        return {"observed_at": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", "value": n / 1000}


def _padded(payload: bytes, n: int) -> bytes:
    """Make a bad payload more or less distinct, without making it better or worse."""
    return payload + b" " * (n % 100) if payload else payload
