"""What was measured at several moments, and the state of the network that each of them implies.

A watch conditions the model on what an operator measures: tank levels, the status of metered pumps and of links with a
status sensor, and demand per district so that inflows match. What is left of pressures and flows is the residual.

Demand of a district at a moment is its balance: inflow over metered boundaries, at that moment where it has no tank, as
the mean of the hour before it (with what tanks kept) where it has one. A district without a balance takes the scale of
all balanced ones together, without any the model's own demand; the watch says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

import numpy as np
from numpy.typing import NDArray

from models.demand.ladder import HIGHEST_SCALE, LOWEST_SCALE
from models.supply.districts import boundaries
from models.supply.epanet import LinkType
from models.supply.facts import Floats, Integers, ModelFacts
from models.supply.results import HOUR_S
from models.supply.state import NO_FLOW_M3S
from models.supply.tracks import Track
from twin.network import Network, NodeKind
from twin.readings import ElementType
from twin.units import Quantity

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """Moments (rows), the state that each implies, and what was observed at the places of sensors (columns).

    `is_open` holds 1, 0 or NaN (not known) of each link whose status is measured. `demand_m3s` is per district.
    `pressure_nodes` and `flow_links` are positions in the engine's order; their columns in `observed` come in that
    order, pressures in m and flows in m3/s.
    """

    model_time_s: Integers
    tank_level_m: Mapping[str, Floats]
    is_open: Mapping[int, Floats]
    group_of_node: Integers
    demand_m3s: Floats
    modelled_m3s: Floats
    balanced: Booleans
    pressure_nodes: Integers
    flow_links: Integers
    observed: Floats
    basis: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of moments."""
        return len(self.model_time_s)

    @property
    def places(self) -> int:
        """The number of sensors' places."""
        return len(self.pressure_nodes) + len(self.flow_links)

    @property
    def scale(self) -> Floats:
        """Observed over modelled demand (moments, districts)."""
        ratio = np.divide(self.demand_m3s, self.modelled_m3s, out=np.ones_like(self.demand_m3s), where=self._consumes)
        return np.clip(ratio, LOWEST_SCALE, HIGHEST_SCALE)

    @property
    def _consumes(self) -> Booleans:
        consumes: Booleans = self.modelled_m3s > 0
        return consumes

    def rows(self, chosen: Sequence[int] | Integers) -> Watch:
        """Return the watch at some of its moments."""
        pick = np.asarray(chosen, dtype=np.int64)
        return Watch(
            model_time_s=self.model_time_s[pick],
            tank_level_m={tank: levels[pick] for tank, levels in self.tank_level_m.items()},
            is_open={link: states[pick] for link, states in self.is_open.items()},
            group_of_node=self.group_of_node,
            demand_m3s=self.demand_m3s[pick],
            modelled_m3s=self.modelled_m3s[pick],
            balanced=self.balanced,
            pressure_nodes=self.pressure_nodes,
            flow_links=self.flow_links,
            observed=self.observed[pick],
            basis=self.basis,
        )


def watch(
    tracks: Sequence[Track], network: Network, facts: ModelFacts, moments: Sequence[datetime], zone: tzinfo
) -> Watch:
    """Return what sensors say of the network at some moments; `network` has the districts between metered links."""
    seconds = np.array([moment.timestamp() for moment in moments])
    basis: list[str] = []
    flows = {t.sensor.element_id: t for t in _of(tracks, Quantity.FLOW, ElementType.LINK)}
    levels = {t.sensor.element_id: t for t in _of(tracks, Quantity.LEVEL, ElementType.NODE)}
    pressures = [t for t in _of(tracks, Quantity.PRESSURE, ElementType.NODE) if t.sensor.element_id in network.nodes]
    column = {node_id: position for position, node_id in enumerate(facts.node_ids)}
    positions = {link_id: position for position, link_id in enumerate(facts.link_ids)}
    clock_s = np.array([facts.model_time_s(moment, zone) for moment in moments], dtype=np.int64)
    districts = tuple(dict.fromkeys(network.district_of_node[node_id] for node_id in facts.node_ids))
    number = {district: position for position, district in enumerate(districts)}
    group_of_node = np.array([number[network.district_of_node[node_id]] for node_id in facts.node_ids], dtype=np.int64)
    modelled = _modelled(facts, group_of_node, len(districts), clock_s)
    demand, balanced = _demand(seconds, network, facts, districts, flows, levels, modelled, basis)
    metered = [link_id for link_id in flows if link_id in positions]
    return Watch(
        model_time_s=clock_s,
        tank_level_m={tank: _level(levels.get(tank), facts, tank, seconds, basis) for tank in facts.tanks},
        is_open=_statuses(tracks, flows, facts, positions, seconds),
        group_of_node=group_of_node,
        demand_m3s=demand,
        modelled_m3s=modelled,
        balanced=balanced,
        pressure_nodes=np.array([column[t.sensor.element_id] for t in pressures], dtype=np.int64),
        flow_links=np.array([positions[link_id] for link_id in metered], dtype=np.int64),
        observed=np.stack(
            [*(t.at(seconds) for t in pressures), *(flows[link_id].at(seconds) for link_id in metered)], axis=1
        )
        if pressures or metered
        else np.empty((len(seconds), 0)),
        basis=tuple(basis),
    )


def _of(tracks: Sequence[Track], quantity: Quantity, kind: ElementType) -> list[Track]:
    return [t for t in tracks if t.sensor.quantity is quantity and t.sensor.element_type is kind and len(t.times_s)]


def _level(track: Track | None, facts: ModelFacts, tank: str, seconds: Floats, basis: list[str]) -> Floats:
    initial_m = facts.tanks[tank].initial_level_m
    seen = np.full(len(seconds), np.nan) if track is None else track.at(seconds)
    missing = int((~np.isfinite(seen)).sum())
    if missing:
        basis.append(f"tank {tank}: no level at {missing} of {len(seconds)} moments, the model's {initial_m:.2f} m")
    level: Floats = np.where(np.isfinite(seen), seen, initial_m)
    return level


def _statuses(
    tracks: Sequence[Track],
    flows: Mapping[str, Track],
    facts: ModelFacts,
    positions: Mapping[str, int],
    seconds: Floats,
) -> dict[int, Floats]:
    """Return what is measured of links: a status, or whether a pump moves water."""
    found = {}
    for track in _of(tracks, Quantity.STATUS, ElementType.LINK):
        if track.sensor.element_id in positions:
            values = track.at(seconds)
            found[positions[track.sensor.element_id]] = np.where(np.isfinite(values), values >= 0.5, np.nan)
    for link_id, track in flows.items():
        position = positions.get(link_id)
        if position is not None and facts.link_types[position] is LinkType.PUMP:
            values = track.at(seconds)
            found[position] = np.where(np.isfinite(values), np.abs(values) > NO_FLOW_M3S, np.nan)
    return found


def _modelled(facts: ModelFacts, group_of_node: Integers, groups: int, clock_s: Integers) -> Floats:
    """Return the model's own demand per moment and district."""
    demands = facts.demands
    modelled = np.zeros((len(clock_s), groups))
    for pattern in np.unique(demands.pattern):
        rows = (demands.pattern == pattern) & demands.consumes
        base = np.bincount(group_of_node[demands.node[rows]], weights=demands.base_m3s[rows], minlength=groups)
        modelled += pattern_at(facts, int(pattern), clock_s)[:, None] * base[None, :]
    return modelled


def pattern_at(facts: ModelFacts, pattern: int, clock_s: Integers) -> Floats:
    """Return a pattern's multiplier at moments of the model's time."""
    values = facts.demands.patterns.get(pattern, np.ones(1))
    found: Floats = values[((clock_s + facts.clock.pattern_start_s) // facts.clock.pattern_step_s) % len(values)]
    return found


def _demand(
    seconds: Floats,
    network: Network,
    facts: ModelFacts,
    districts: tuple[str, ...],
    flows: Mapping[str, Track],
    levels: Mapping[str, Track],
    modelled: Floats,
    basis: list[str],
) -> tuple[Floats, Booleans]:
    bounds = boundaries(network.links, network.district_of_node)
    demand = np.full(modelled.shape, np.nan)
    for position, district in enumerate(districts):
        nodes = [network.nodes[node_id] for node_id in network.nodes_of(district)]
        if any(node.kind is NodeKind.RESERVOIR for node in nodes) or not modelled[:, position].any():
            continue
        tanks = [node.node_id for node in nodes if node.kind is NodeKind.TANK]
        demand[:, position] = _balance(seconds, bounds.get(district, []), flows, levels, facts, tanks)
    balanced = np.isfinite(demand).all(axis=0)
    known = np.isfinite(demand)
    total = np.where(known, modelled, 0.0).sum(axis=1)
    overall = np.divide(np.where(known, demand, 0.0).sum(axis=1), total, out=np.ones(len(seconds)), where=total > 0)
    for position, district in enumerate(districts):
        if modelled[:, position].any() and not balanced[position]:
            basis.append(f"demand of {district}: no balance at some moments, the model's at the scale of the others")
    return np.where(known, demand, modelled * overall[:, None]), balanced


def _balance(
    seconds: Floats,
    boundary: Sequence[tuple[str, int]],
    flows: Mapping[str, Track],
    levels: Mapping[str, Track],
    facts: ModelFacts,
    tanks: Sequence[str],
) -> Floats:
    if not boundary or any(link_id not in flows for link_id, _ in boundary) or any(t not in levels for t in tanks):
        return np.full(len(seconds), np.nan)
    inflow = np.zeros(len(seconds))
    for link_id, sign in boundary:
        track = flows[link_id]
        inflow += sign * (track.mean_before(seconds, HOUR_S) if tanks else track.at(seconds))
    for tank in tanks:
        volume = facts.tanks[tank].volume_m3
        inflow -= (volume(levels[tank].at(seconds)) - volume(levels[tank].at(seconds - HOUR_S))) / HOUR_S
    return inflow
