"""The guard of the ingester: looks at every message once, in order of receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ingest.decoders.base import Decoded, RawReading, Refusal
from ingest.guard.backfill import OpenGaps
from ingest.guard.forgery import forged, why_not_for
from ingest.guard.rate import Pace
from ingest.guard.recent import Recent
from ingest.guard.replays import ReplayWatch
from ingest.message import Message
from ingest.notes import Notes
from ingest.pipeline import Refused
from twin.events import Event, EventKind, event
from twin.ports import GapLedger
from twin.readings import Reading, Sensor

LIVE_S = 60.0
"""Messages whose newest reading is older when they arrive are not live: a backlog or a backfill, and never too fast."""

_MOST_GATEWAYS = 10_000


class GatewayGuard:
    """Refuses forged names and what is beyond a gateway's rate, and tells of recordings played again.

    It is a `Guard`, and an `Observer` for what it tells without refusing anything. `rate_per_s` counts live messages;
    0 lets everything pass.
    """

    def __init__(self, ledger: GapLedger, *, rate_per_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._gaps = OpenGaps(ledger)
        self._paces: Recent[str, Pace] = Recent(_MOST_GATEWAYS)
        self._replays = ReplayWatch(self._gaps)
        self._untold: list[Event] = []
        self._received_at: datetime | None = None
        self._received_s = 0.0

    def refuse_message(self, message: Message, decoded: Decoded) -> Refused | None:
        """Return a refusal where the sender is over its rate."""
        if self._rate_per_s > 0 and not message.is_redelivery and self._is_too_much(message, decoded):
            detail = (
                f"gateway {decoded.gateway!r} sends more than {self._rate_per_s:g} live messages a second; mend it, or "
                "raise TWIN_GATEWAY_RATE, then requeue this letter"
            )
            told = event(EventKind.RATE_LIMITED, decoded.gateway, message.received_at, detail)
            return Refused(Refusal.RATE_LIMITED, detail, told)
        replayed = self._replays.look_at(message, decoded)
        if replayed is not None:
            self._untold.append(replayed)
        return None

    def refuse_reading(self, message: Message, gateway: str, sensor: Sensor) -> Refused | None:
        """Return a refusal where the sensor belongs to another gateway."""
        if not sensor.gateway_id:
            return None
        detail = why_not_for(gateway, sensor)
        if detail is None:
            return None
        return Refused(Refusal.FORGED_IDENTITY, detail, forged(message.topic, message.received_at, detail))

    def observe(self, readings: Sequence[Reading], gateways: Sequence[str]) -> Notes:  # noqa: ARG002 - the protocol
        """Return the events that refused nothing."""
        told, self._untold = self._untold, []
        return Notes(events=told)

    def figures(self) -> Mapping[str, float]:
        """Return what was counted without being refused."""
        return {"replayed": float(self._replays.old)}

    def _is_too_much(self, message: Message, decoded: Decoded) -> bool:
        if message.received_at is not self._received_at:  # what came together shares its moment
            self._received_at = message.received_at
            self._received_s = message.received_at.timestamp()
        received_s = self._received_s
        newest_s = _newest_s(decoded.readings, received_s)
        if received_s - newest_s > LIVE_S:
            return False
        pace = self._paces.young.get(decoded.gateway) or self._paces.get(decoded.gateway)
        if pace is None:
            pace = Pace(self._rate_per_s, received_s, newest_s)
            self._paces.put(decoded.gateway, pace)
        if pace.has_room(received_s, newest_s):
            return False
        return not (decoded.readings and self._is_backfill(message, decoded))

    def _is_backfill(self, message: Message, decoded: Decoded) -> bool:
        return all(self._gaps.hold(decoded.gateway, raw, message.received_at) for raw in decoded.readings)


def _newest_s(readings: Sequence[RawReading], received_s: float) -> float:
    """Return when the newest reading was true; without one, or where one does not say, that is now."""
    if len(readings) == 1 and (moment := readings[0].observed_at) is not None:  # as nearly always
        return moment.timestamp()
    moments = [raw.observed_at for raw in readings if raw.observed_at is not None]
    if not moments or len(moments) < len(readings):
        return received_s
    return max(moments).timestamp()
