"""Observed demand of the districts, by mass balance: what flows in over metered boundaries minus what tanks keep.

Flow counts as positive from a link's start node to its end node. Hours are counted back from T0: element k of a
series from the end is the hour ending k hours before T0. What is not measured well enough is NaN, never a guess.

Where most hours have no balance (or a reservoir lies in the district), meters at the consumers' own nodes stand in: the
sum of those that were heard, over their share of the district's demand in the model, if that is `LEAST_METERED` at
least.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from models.supply.districts import boundaries
from models.supply.facts import Floats, ModelFacts, TankFacts
from twin.network import Network, NodeKind
from twin.ports import SupplyRequest
from twin.readings import ElementType, Reading, Sensor
from twin.units import Quantity

STALE_AFTER_PERIODS = 3
"""A value older than this many of its sensor's periods is not used."""

LEAST_METERED = 0.8
"""Meters of so much of a district's demand tell the whole of it."""

_ENOUGH_BALANCED = 0.5
_LONGEST_HISTORY_H = 28 * 24


@dataclass(frozen=True, slots=True)
class ObservedDemand:
    """Hourly observed demand (m3/s, oldest first, NaN unknown) of each district, and of all that can be balanced
    together: `network_districts` between them.
    """

    hours: int
    by_district: Mapping[str, Floats]
    network_m3s: Floats
    network_districts: frozenset[str]


def observe_demand(request: SupplyRequest, network: Network, facts: ModelFacts) -> ObservedDemand:
    """Balance each district that holds no reservoir over the hours of the request's history; meters tell of others."""
    hours = _hours_of_history(request)
    flows = _hourly_flows(request, hours)
    filling = {tank_id: _hourly_filling(request, facts.tanks[tank_id], hours) for tank_id in facts.tanks}
    district_of = network.district_of_node
    supplied = {district_of[n] for n, node in network.nodes.items() if node.kind is NodeKind.RESERVOIR}
    all_boundaries = boundaries(network.links, district_of)
    by_district: dict[str, Floats] = {}
    for district in dict.fromkeys(district_of.values()):
        balance = np.full(hours, np.nan)
        if district not in supplied:
            balance = _balance(all_boundaries.get(district, []), flows, hours) - _sum(
                [filling[tank_id] for tank_id in facts.tanks if district_of[tank_id] == district], hours
            )
        if np.isfinite(balance).mean() < _ENOUGH_BALANCED:
            metered = _metered(request, facts, {n for n, of in district_of.items() if of == district}, hours)
            balance = np.where(np.isfinite(balance), balance, metered)
        by_district[district] = balance
    rest = frozenset(by_district) - supplied
    merged = {node_id: "" if district in rest else "outside" for node_id, district in district_of.items()}
    inflow = _balance(boundaries(network.links, merged).get("", []), flows, hours)
    kept = _sum([filling[tank_id] for tank_id in facts.tanks if district_of[tank_id] in rest], hours)
    return ObservedDemand(hours, by_district, inflow - kept, rest)


def _metered(request: SupplyRequest, facts: ModelFacts, nodes: Collection[str], hours: int) -> Floats:
    """Return the demand of some nodes as their own meters tell it, NaN in hours with too few of them."""
    base = np.zeros(len(facts.node_ids))
    np.add.at(base, facts.demands.node[facts.demands.consumes], facts.demands.base_m3s[facts.demands.consumes])
    share = {node_id: float(base[n]) for n, node_id in enumerate(facts.node_ids) if node_id in nodes and base[n] > 0}
    total, told, unseen = np.zeros(hours), np.zeros(hours), set(share)
    for sensor_id in sorted(request.sensors):
        sensor = request.sensors[sensor_id]
        is_meter = sensor.quantity is Quantity.DEMAND and sensor.element_type is ElementType.NODE
        if not is_meter or sensor.connection_id or sensor.element_id not in unseen:  # one household is not its node
            continue
        unseen.remove(sensor.element_id)
        means = _hourly_means(series_of(request, sensor_id), request.issued_at, hours)
        known = np.isfinite(means)
        total += np.where(known, means, 0.0)
        told += np.where(known, share[sensor.element_id], 0.0)
    enough = told >= LEAST_METERED * sum(share.values())
    whole: Floats = np.full(hours, np.nan)
    np.divide(total * sum(share.values()), told, out=whole, where=enough & (told > 0))
    return whole


def series_of(request: SupplyRequest, sensor_id: str) -> Sequence[Reading]:
    """Return a sensor's readings up to T0 in order of time, the latest included."""
    readings = [r for r in request.history.get(sensor_id, ()) if r.observed_at <= request.issued_at]
    latest = request.latest.get(sensor_id)
    if (
        latest is not None
        and latest.observed_at <= request.issued_at
        and (not readings or latest.observed_at > readings[-1].observed_at)
    ):
        readings.append(latest)
    return readings


def sensors_at(request: SupplyRequest, kind: ElementType, element_id: str, quantity: Quantity) -> list[Sensor]:
    """Return the sensors of a quantity at an element, in order of id."""
    return sorted(
        (
            sensor
            for sensor in request.sensors.values()
            if sensor.element_type is kind and sensor.element_id == element_id and sensor.quantity is quantity
        ),
        key=lambda sensor: sensor.sensor_id,
    )


def _hours_of_history(request: SupplyRequest) -> int:
    oldest = min((readings[0].observed_at for readings in request.history.values() if readings), default=None)
    if oldest is None:
        return 1
    return int(np.clip((request.issued_at - oldest).total_seconds() // 3600, 1, _LONGEST_HISTORY_H))


def _hourly_flows(request: SupplyRequest, hours: int) -> dict[str, Floats]:
    flows: dict[str, Floats] = {}
    for sensor_id in sorted(request.sensors):
        sensor = request.sensors[sensor_id]
        if sensor.quantity is not Quantity.FLOW or sensor.element_type is not ElementType.LINK:
            continue
        means = _hourly_means(series_of(request, sensor_id), request.issued_at, hours)
        known = flows.get(sensor.element_id)
        flows[sensor.element_id] = means if known is None else np.where(np.isfinite(known), known, means)
    return flows


def _hourly_means(readings: Sequence[Reading], until: datetime, hours: int) -> Floats:
    ages_h, values = _ages_and_values(readings, until, 3600.0)
    position = hours - 1 - np.floor(ages_h).astype(np.int64)
    inside = (position >= 0) & (position < hours)
    count = np.bincount(position[inside], minlength=hours)
    total = np.bincount(position[inside], weights=values[inside], minlength=hours)
    means: Floats = np.divide(total, count, out=np.full(hours, np.nan), where=count > 0)
    return means


def _hourly_filling(request: SupplyRequest, tank: TankFacts, hours: int) -> Floats:
    """Return how fast the tank filled in each hour, m3/s."""
    filling = np.full(hours, np.nan)
    for quantity, offset_m in ((Quantity.LEVEL, 0.0), (Quantity.PRESSURE, 0.0), (Quantity.HEAD, tank.elevation_m)):
        for sensor in sensors_at(request, ElementType.NODE, tank.tank_id, quantity):
            levels = _levels_on_the_hour(sensor, series_of(request, sensor.sensor_id), request.issued_at, hours)
            change = np.diff(tank.volume_m3(levels - offset_m)) / 3600.0
            filling = np.where(np.isfinite(filling), filling, change)
    return filling


def _levels_on_the_hour(sensor: Sensor, readings: Sequence[Reading], until: datetime, hours: int) -> Floats:
    """Return levels `hours`, ..., 1, 0 hours before T0, interpolated; NaN where no reading is near."""
    marks = -np.arange(hours, -1, -1) * 3600.0
    if not readings:
        return np.full(hours + 1, np.nan)
    ages_s, values = _ages_and_values(readings, until, 1.0)
    moments = -ages_s
    after = np.clip(np.searchsorted(moments, marks), 1, max(len(moments) - 1, 1))
    before_s = np.abs(marks - moments[after - 1])
    after_s = np.abs(marks - moments[np.minimum(after, len(moments) - 1)])
    near = np.minimum(before_s, after_s) <= STALE_AFTER_PERIODS * sensor.expected_every_s
    return np.where(near, np.interp(marks, moments, values), np.nan)


def _ages_and_values(readings: Sequence[Reading], until: datetime, unit_s: float) -> tuple[Floats, Floats]:
    end = until.timestamp()
    ages = np.array([(end - reading.observed_at.timestamp()) / unit_s for reading in readings], dtype=np.float64)
    return ages, np.array([reading.value for reading in readings], dtype=np.float64)


def _balance(boundary: Sequence[tuple[str, int]], flows: Mapping[str, Floats], hours: int) -> Floats:
    unknown = np.full(hours, np.nan)
    if not boundary:
        return unknown
    return _sum([sign * flows.get(link_id, unknown) for link_id, sign in boundary], hours)


def _sum(series: Sequence[Floats], hours: int) -> Floats:
    return np.sum(series, axis=0) if series else np.zeros(hours)
