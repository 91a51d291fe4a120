"""What becomes of the tanks: their levels hour by hour, and when they will be empty or full."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import numpy as np

from models.supply.connectivity import EMPTY_WITHIN_M
from models.supply.facts import Floats, ModelFacts
from models.supply.results import Results
from twin.forecasts import TankOutlook

_FULL_WITHIN_M = 1e-3


def tank_outlooks(
    results: Results, facts: ModelFacts, issued_at: datetime, *, measured: Collection[str]
) -> tuple[TankOutlook, ...]:
    """Return each tank's outlook from T0 on; `measured` are the tanks whose level at T0 is no guess."""
    outlooks = []
    for tank_id, tank in facts.tanks.items():
        column = facts.node_ids.index(tank_id)
        level_m = results.head_m[:, column] - tank.elevation_m
        empty_s = first_reached_s(results.times_s, level_m - tank.min_level_m, EMPTY_WITHIN_M)
        full_s = first_reached_s(results.times_s, tank.max_level_m - level_m, _FULL_WITHIN_M)
        outlooks.append(
            TankOutlook(
                tank_id=tank_id,
                level_m=float(level_m[0]),
                min_level_m=tank.min_level_m,
                max_level_m=tank.max_level_m,
                empty_at=None if empty_s is None else issued_at + timedelta(seconds=empty_s),
                full_at=None if full_s is None else issued_at + timedelta(seconds=full_s),
                level_series_m=tuple(level_m[results.hours].tolist()),
                measured=tank_id in measured,
            )
        )
    return tuple(outlooks)


def first_reached_s(
    times_s: np.ndarray[tuple[int], np.dtype[np.int64]], room_m: Floats, within_m: float
) -> float | None:
    """Return when `room_m` (how far the level is from its limit) first falls to nothing, between steps by a line.

    What lies within `within_m` is nothing; a tank so near its lowest level counts as no source.
    """
    rows = np.flatnonzero(room_m <= within_m)
    if not len(rows):
        return None
    row = int(rows[0])
    if row == 0:
        return float(times_s[0])
    share = (room_m[row - 1] - max(float(room_m[row]), 0.0)) / (room_m[row - 1] - room_m[row])
    return float(times_s[row - 1] + share * (times_s[row] - times_s[row - 1]))
