"""Looking for a mismatch over stretches of readings: the last hours, against the residuals of the days before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

import numpy as np

from models.pool import EnginePool
from models.supply.districts import metered_links, names_at_nodes, with_districts
from models.supply.loader import load_model
from models.supply.mismatch import Usual, find_mismatch, usual_residuals
from models.supply.moments import moments_of
from models.supply.open_supply import open_supply
from models.supply.tracks import Track
from models.supply.watch import watch
from twin.errors import InputError
from twin.mismatch import Mismatch
from twin.network import Network

LEAST_USUAL = 24
"""So many ordinary moments must be known before residuals are called usual."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search: hourly moments up to `at` for `hours`, and the ordinary ones in [usual_from, usual_to) (None: none)."""

    at: datetime
    hours: int = 8
    usual_from: datetime | None = None
    usual_to: datetime | None = None

    @property
    def moments(self) -> list[datetime]:
        """The moments that are judged."""
        return [self.at - timedelta(hours=hour) for hour in reversed(range(self.hours))]

    @property
    def ordinary(self) -> list[datetime]:
        """The moments whose residuals are usual."""
        if self.usual_from is None or self.usual_to is None:
            return []
        hours = int((self.usual_to - self.usual_from).total_seconds() // 3600)
        return [self.usual_from + timedelta(hours=hour) for hour in range(hours)]


def search_mismatch(
    inp: bytes, tracks: Sequence[Track], pool: EnginePool, search: Search, *, zone: tzinfo, limit_s: float = 60.0
) -> Mismatch:
    """Return what explains the residuals of the search's moments, in an engine worker.

    Raises:
        InputError: If the INP is refused, or no sensor is at a node or link of the model.
        ModelError: If the model cannot be solved at these moments.
    """
    loaded = load_model(inp, pool)
    sensors = [track.sensor for track in tracks]
    network = with_districts(loaded.network, metered_links(sensors), names_at_nodes(sensors))
    known = [*search.ordinary, *search.moments]
    since, until = min(known).timestamp() - 2 * 3600, search.at.timestamp()
    cut = tuple(track.between(since, until) for track in tracks)
    return pool.run(search_here, inp, network, cut, search, zone, limit_s, time_limit_s=2 * limit_s + 60)


def search_here(
    inp: bytes, network: Network, tracks: tuple[Track, ...], search: Search, zone: tzinfo, limit_s: float
) -> Mismatch:
    """Search in this process, which must be an engine worker."""
    supply = open_supply(inp)
    watched = watch(tracks, network, supply.facts, search.moments, zone)
    if not watched.places:
        raise InputError("no pressure or flow sensor is at a node or link of the model")
    usual: Usual | None = None
    ordinary = watch(tracks, network, supply.facts, search.ordinary, zone)
    if len(ordinary) >= LEAST_USUAL:
        with moments_of(supply, ordinary) as moments:
            expected = np.array([moments.solve(row) for row in range(len(ordinary))])
        usual = usual_residuals(ordinary.observed - expected)
    with moments_of(supply, watched) as moments:
        return find_mismatch(moments, usual=usual, limit_s=limit_s)
