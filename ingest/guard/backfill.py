"""Which readings fill a gap: nobody is blamed for sending what is missing."""

from __future__ import annotations

import logging
from bisect import bisect_right
from datetime import datetime, timedelta

from ingest.decoders.base import RawReading
from twin.errors import TwinError
from twin.ports import GapLedger
from twin.readings import Reason

_LOG = logging.getLogger(__name__)

READ_EVERY = timedelta(seconds=5)


class OpenGaps:
    """The open gaps in memory, read from the ledger no more often than every `READ_EVERY`, and only when asked.

    While the ledger is away every reading counts as filling a gap: what cannot be judged is not held against anybody.
    """

    def __init__(self, ledger: GapLedger) -> None:
        self._ledger = ledger
        self._read_at: datetime | None = None
        self._away = False
        self._gaps: dict[tuple[str, str], list[tuple[datetime, datetime]]] = {}

    def hold(self, gateway: str, raw: RawReading, now: datetime) -> bool:
        """Whether a reading lies in an open gap of its sensor, or its sender says that it kept it for some time."""
        if Reason.HISTORICAL in raw.reasons:
            return True
        self._refresh(now)
        if self._away:
            return True
        gaps = self._gaps.get((gateway, raw.name))
        if not gaps or raw.observed_at is None:
            return False
        place = bisect_right(gaps, raw.observed_at, key=lambda gap: gap[0])
        return any(start < raw.observed_at < end for start, end in gaps[:place])

    def _refresh(self, now: datetime) -> None:
        if self._read_at is not None and abs(now - self._read_at) < READ_EVERY:
            return
        self._read_at = now
        try:
            found = self._ledger.open_gaps()
        except TwinError as error:
            _LOG.warning("the open gaps cannot be read; nobody is taken for too fast or replayed meanwhile: %s", error)
            self._away = True
            return
        self._away = False
        self._gaps = {}
        for gap in sorted(found, key=lambda gap: gap.start):
            self._gaps.setdefault((gap.gateway_id, gap.sensor_id), []).append((gap.start, gap.end))
