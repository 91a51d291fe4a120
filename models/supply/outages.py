"""Who will be out of supply, when and why. Brute force: every consumer, every whole hour.

A junction where consumers draw water is short in an hour if, in this order, no source reaches it, less than 80 % of
its demand is delivered, or its pressure is below the service pressure. Hours that lie next to each other, or with one
hour between them, are one outage.

What the model shows in its ordinary run (the INP as it is) is no news: a junction whose pressure is below the service
pressure there is not reported for low pressure, and one that ordinarily gets a share s < 80 % only if it gets less
than 80 % of s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

import numpy as np

from models.supply.connectivity import Booleans, hours_with_source, one_way, source_graph
from models.supply.facts import Floats, Integers, ModelFacts
from models.supply.results import HOUR_S, Results
from models.supply.state import HeldClosed
from twin.forecasts import PredictedOutage, ShortageKind, TankOutlook

ENOUGH_DELIVERED = 0.8
_LEAST_DEMAND_M3S = 1e-12


@dataclass(frozen=True, slots=True)
class Ordinary:
    """What nodes see at worst in the model's ordinary run."""

    min_pressure_m: Floats
    min_share: Floats


@dataclass(frozen=True, slots=True)
class Hourly:
    """What decides about outages, per whole hour (rows) and node (columns)."""

    pressure_m: Floats
    share: Floats
    has_source: Booleans


def hourly(results: Results, facts: ModelFacts) -> Hourly:
    """Return a run's values on the whole hours. Where there is no source nothing is delivered and no pressure left."""
    full, delivered = results.full_m3s[results.hours], results.delivered_m3s[results.hours]
    has_source = hours_with_source(results, facts)
    share = np.divide(delivered, full, out=np.ones_like(full), where=full > _LEAST_DEMAND_M3S)
    pressure_m = results.head_m[results.hours] - facts.elevation_m
    return Hourly(np.where(has_source, pressure_m, 0.0), np.where(has_source, share, 0.0), has_source)


def ordinary(results: Results, facts: ModelFacts) -> Ordinary:
    """Return the worst of an ordinary run. A missing source is never ordinary, so shares are the engine's own."""
    full, delivered = results.full_m3s[results.hours], results.delivered_m3s[results.hours]
    share = np.divide(delivered, full, out=np.ones_like(full), where=full > _LEAST_DEMAND_M3S)
    pressure_m = results.head_m[results.hours] - facts.elevation_m
    return Ordinary(pressure_m.min(axis=0), share.min(axis=0))


@dataclass(frozen=True, slots=True)
class Shortages:
    """The three reasons to be short, per whole hour and node."""

    no_source: Booleans
    demand_unmet: Booleans
    low_pressure: Booleans

    @property
    def any(self) -> Booleans:
        """Whether a node is short for any reason."""
        either: Booleans = self.no_source | self.demand_unmet | self.low_pressure
        return either


def shortages(now: Hourly, usual: Ordinary, consumers: Integers, required_pressure_m: float) -> Shortages:
    """Judge every hour of every consumer."""
    counts = np.zeros(now.share.shape[1], dtype=np.bool_)
    counts[consumers] = True
    least_share = ENOUGH_DELIVERED * np.where(usual.min_share < ENOUGH_DELIVERED, usual.min_share, 1.0)
    pressure_is_news = usual.min_pressure_m >= required_pressure_m
    return Shortages(
        no_source=~now.has_source & counts,
        demand_unmet=(now.share < least_share) & counts,
        low_pressure=(now.pressure_m < required_pressure_m) & pressure_is_news & counts,
    )


def spans(short: Booleans) -> Iterator[tuple[int, int]]:
    """Yield first and last short hour of each outage; a single hour between two does not split them."""
    hours = np.flatnonzero(short)
    if len(hours):
        for piece in np.split(hours, np.flatnonzero(np.diff(hours) > 2) + 1):
            yield int(piece[0]), int(piece[-1])


def predict_outages(
    results: Results,
    facts: ModelFacts,
    usual: Ordinary,
    causes: Causes,
    *,
    issued_at: datetime,
    required_pressure_m: float,
) -> tuple[PredictedOutage, ...]:
    """Return every outage of the run, by node and time."""
    now = hourly(results, facts)
    consumers = np.unique(facts.demands.node[facts.demands.consumes])
    short = shortages(now, usual, consumers, required_pressure_m)
    any_short = short.any
    last_hour = len(results.hours) - 1
    outages = []
    for node in consumers[any_short[:, consumers].any(axis=0)]:
        for first, last in spans(any_short[:, node]):
            key, words = causes.of(int(node), first)
            outages.append(
                PredictedOutage(
                    node_id=facts.node_ids[node],
                    starts_at=issued_at + timedelta(hours=first),
                    ends_at=None if last == last_hour else issued_at + timedelta(hours=last + 1),
                    shortage=_kind(short, first, last, int(node)),
                    cause_key=key,
                    cause=words,
                    min_pressure_m=float(now.pressure_m[first : last + 1, node].min()),
                    delivered_share=_delivered_share(results, now, int(node), first, last),
                )
            )
    return tuple(outages)


def _kind(short: Shortages, first: int, last: int, node: int) -> ShortageKind:
    hours = slice(first, last + 1)
    if short.no_source[hours, node].any():
        return ShortageKind.NO_SOURCE
    return ShortageKind.DEMAND_UNMET if short.demand_unmet[hours, node].any() else ShortageKind.LOW_PRESSURE


def _delivered_share(results: Results, now: Hourly, node: int, first: int, last: int) -> float:
    """Return delivered over wanted volume from the first hour of an outage to the end of its last."""
    steps_s = np.diff(results.times_s, append=results.times_s[-1])
    inside = (results.times_s >= first * HOUR_S) & (results.times_s < (last + 1) * HOUR_S)
    hour_of = np.minimum(results.times_s // HOUR_S, len(now.has_source) - 1)
    delivered = results.delivered_m3s[:, node] * now.has_source[hour_of, node]
    wanted_m3 = float((results.full_m3s[:, node] * steps_s)[inside].sum())
    if wanted_m3 <= 0:
        return float(now.share[first : last + 1, node].min())
    return float((delivered * steps_s)[inside].sum()) / wanted_m3


class Causes:
    """Names the one cause of an outage: an emptied tank, a failed pump, a closed link, else low pressure."""

    def __init__(
        self,
        results: Results,
        facts: ModelFacts,
        tanks: Sequence[TankOutlook],
        held: Sequence[HeldClosed],
        district_of_node: Sequence[str],
        *,
        issued_at: datetime,
        zone: tzinfo,
    ) -> None:
        self._facts = facts
        self._district_of_node = district_of_node
        self._issued_at = issued_at
        self._zone = zone
        self._column = {node_id: column for column, node_id in enumerate(facts.node_ids)}
        self._emptied = [(tank, self._reach_of_tank(results, tank)) for tank in tanks if tank.empty_at is not None]
        self._held = [(link, *self._reach_of_link(results, link.link_id)) for link in held]

    def of(self, node: int, hour: int) -> tuple[str, str]:
        """Return key and words of the cause of an outage that begins at a whole hour."""
        return self._tank_of(node, hour) or self._held_of(node) or self._low_pressure(node, hour)

    def _tank_of(self, node: int, hour: int) -> tuple[str, str] | None:
        until = self._issued_at + timedelta(hours=hour, seconds=1)
        related = [
            (self._same_district(node, self._column[tank.tank_id]), tank.empty_at, tank)
            for tank, reach in self._emptied
            if tank.empty_at is not None
            and tank.empty_at <= until
            and (reach[node] or self._same_district(node, self._column[tank.tank_id]))
        ]
        if not related:
            return None
        _, empty_at, tank = max(related, key=lambda found: found[:2])
        when = f"empties at {self._time(empty_at)}" if empty_at > self._issued_at else "is empty"
        column = self._column[tank.tank_id]
        because = [link.words for link, _, reach in self._held if reach[column]]
        return f"tank_empty:{tank.tank_id}", "; ".join([f"tank {tank.tank_id} {when}", *because])

    def _held_of(self, node: int) -> tuple[str, str] | None:
        related = [
            (any(self._same_district(node, end) for end in ends), link)
            for link, ends, reach in self._held
            if reach[node]
        ]
        if not related:
            return None
        _, link = max(related, key=lambda found: found[0])
        return link.cause_key, link.words

    def _low_pressure(self, node: int, hour: int) -> tuple[str, str]:
        district = self._district_of_node[node]
        when = self._time(self._issued_at + timedelta(hours=hour))
        return f"low_pressure:{district}", f"pressure in district {district} is too low from {when} on"

    def _reach_of_tank(self, results: Results, tank: TankOutlook) -> Booleans:
        """Return where a tank's water went in the last whole hour before it was empty."""
        assert tank.empty_at is not None
        before = int((tank.empty_at - self._issued_at).total_seconds() // HOUR_S)
        return self._reach(results.is_open[results.hours[before]], [self._column[tank.tank_id]])

    def _reach_of_link(self, results: Results, link_id: str) -> tuple[list[int], Booleans]:
        """Return the ends a closed link should feed, and where water gets from there."""
        position = self._facts.link_ids.index(link_id)
        start, end = int(self._facts.link_start[position]), int(self._facts.link_end[position])
        ends = [end] if one_way(self._facts)[position] else [start, end]
        return ends, self._reach(np.asarray(results.is_open.any(axis=0)), ends)

    def _reach(self, is_open: Booleans, columns: list[int]) -> Booleans:
        sources = np.zeros(len(self._facts.node_ids), dtype=np.bool_)
        sources[columns] = True
        return source_graph(self._facts).reached_from(sources, is_open)

    def _same_district(self, node: int, other: int) -> bool:
        return self._district_of_node[node] == self._district_of_node[other]

    def _time(self, moment: datetime) -> str:
        return moment.astimezone(self._zone).strftime("%H:%M on %Y-%m-%d (%Z)")
