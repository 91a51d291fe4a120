"""What a run of the supply model computed, in SI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.supply.facts import Floats
from twin.errors import ModelError

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Results:
    """A run's values at each solution (rows) for each node or link (columns), in SI.

    `demand_m3s` is what leaves the network at a node by any way (at tanks: into the tank), `full_m3s` what consumers
    want and `delivered_m3s` what they get; `is_inflow` marks junctions where water is put in (negative demand). `hours`
    are the rows of the whole hours. `quality` is in the model's own unit, None where it was not followed.
    """

    times_s: NDArray[np.int64]
    head_m: Floats
    demand_m3s: Floats
    full_m3s: Floats
    delivered_m3s: Floats
    is_inflow: NDArray[np.bool_]
    flow_m3s: Floats
    is_open: NDArray[np.bool_]
    tank_volume_m3: Floats
    hours: NDArray[np.int64]
    warnings: tuple[str, ...]
    quality: Floats | None = None

    def volumes_m3(self, rates_m3s: Floats) -> Floats:
        """Return rates summed over the run (rate x step) per column."""
        volumes: Floats = np.diff(self.times_s).astype(np.float64) @ rates_m3s[:-1]
        return volumes


def rows_of_whole_hours(times_s: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of each whole hour.

    Raises:
        ModelError: If one has no solution.
    """
    wanted = np.arange(0, times_s[-1] + 1, HOUR_S)
    rows = np.searchsorted(times_s, wanted, side="right") - 1  # the last solution of a moment that has several
    if not np.array_equal(times_s[rows], wanted):
        raise ModelError("the run has no solution on every whole hour; its report step is not one hour")
    return rows
