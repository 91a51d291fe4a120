"""A scenario's actions, carried out while the run goes on.

A burst lets out Q = Cd A sqrt(2 g p), the flow through a sharp-edged orifice of area A at the pressure head p, with
Cd = 0.6 (Lambert 2001, What do we know about pressure-leakage relationships, IWA). Fire flow is a demand of its own,
and pressure-driven like the others: the hydrant gives less below the required pressure.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from models.supply.epanet import LinkType, NodeType, NodeValue, Option
from models.supply.open_supply import Setup
from models.supply.scenarios.holds import Holds
from twin.errors import InputError
from twin.scenarios import Action, ActionKind, Scenario

DISCHARGE_COEFFICIENT = 0.6

_GRAVITY_MS2 = 9.80665
_ORIFICE_EXPONENT = 0.5
_CLOSED_HOLE = 1e-9  # of a burst to come: EPANET ties down what can leak, so it must be known from the beginning
_CLOSING = (ActionKind.CLOSE, ActionKind.PUMP_TRIP, ActionKind.POWER_CUT, ActionKind.TANK_OUT)


class Script:
    """Carries a scenario's actions out: called with the model time before each solution."""

    def __init__(self, setup: Setup, scenario: Scenario) -> None:
        self._setup, self._facts = setup, setup.facts
        self._actions = scenario.actions
        self._holds = Holds(setup)
        self._links = [self._links_of(action) for action in self._actions]
        self._surged = [self._surged_by(action) for action in self._actions]
        self._bases = {place: setup.project.base_demand(*place) for places in self._surged for place in places}
        self._switches = [self._switch(action) for action in self._actions]
        self._on = [False] * len(self._actions)

    def __call__(self, now_s: int) -> None:
        """Do what begins, and undo what ends, at `now_s`."""
        on = [a.from_s <= now_s and (a.until_s is None or now_s < a.until_s) for a in self._actions]
        if on == self._on:
            return
        for switch, before, now in zip(self._switches, self._on, on, strict=True):
            if switch is not None and before != now:
                switch(now)
        self._on = on
        self._hold_links()
        self._surge()

    def _hold_links(self) -> None:
        wanted: dict[int, bool] = {}
        for is_open, kinds in ((True, (ActionKind.OPEN,)), (False, _CLOSING)):  # what is closed stays closed
            for action, on, links in zip(self._actions, self._on, self._links, strict=True):
                if on and action.kind in kinds:
                    wanted |= dict.fromkeys(links, is_open)
        self._holds.hold(wanted)

    def _surge(self) -> None:
        factors = dict.fromkeys(self._bases, 1.0)
        for action, on, places in zip(self._actions, self._on, self._surged, strict=True):
            for place in places if on else ():
                factors[place] *= action.amount
        for place, factor in factors.items():
            self._setup.set_base_demand(*place, self._bases[place] * factor)

    def _links_of(self, action: Action) -> list[int]:
        """Return the links (from 1) that an action holds."""
        if action.kind in (ActionKind.CLOSE, ActionKind.OPEN):
            return [self._link(name) for name in action.elements]
        if action.kind is ActionKind.PUMP_TRIP:
            return [self._pump(name) for name in action.elements]
        if action.kind is ActionKind.POWER_CUT:
            return station_of(self._setup, self._pump(action.elements[0]))
        if action.kind is ActionKind.TANK_OUT:
            tanks = [self._node(name, NodeType.TANK) - 1 for name in action.elements]
            at_tank = np.isin(self._facts.link_start, tanks) | np.isin(self._facts.link_end, tanks)
            return (np.flatnonzero(at_tank) + 1).tolist()
        return []

    def _switch(self, action: Action) -> Callable[[bool], None] | None:
        """Return what turns an action on and off that is not about links; it is off to begin with."""
        if action.kind is ActionKind.FIRE_FLOW:
            return self._fire_flow(self._node(action.elements[0], NodeType.JUNCTION), action.amount)
        if action.kind is ActionKind.BURST:
            return self._burst(self._node(action.elements[0], NodeType.JUNCTION), action.amount)
        return None

    def _fire_flow(self, node: int, flow_m3s: float) -> Callable[[bool], None]:
        flow = flow_m3s / self._setup.project.units.flow_m3s / self._setup.project.option(Option.DEMAND_MULTIPLIER)
        category = self._setup.add_demand(node)
        return lambda on: self._setup.set_base_demand(node, category, flow if on else 0.0)

    def _surged_by(self, action: Action) -> list[tuple[int, int]]:
        """Return node and category (from 1) of the consumers whose demand an action multiplies."""
        if action.kind is not ActionKind.DEMAND_SURGE:
            return []
        demands = self._facts.demands
        chosen = demands.consumes
        if action.elements:
            nodes = [self._node(name, NodeType.JUNCTION) - 1 for name in action.elements]
            chosen = chosen & np.isin(demands.node, nodes)
        return list(zip((demands.node[chosen] + 1).tolist(), demands.category[chosen].tolist(), strict=True))

    def _burst(self, node: int, area_m2: float) -> Callable[[bool], None]:
        project = self._setup.project
        own = project.node_values(NodeValue.EMITTER) > 2 * _CLOSED_HOLE
        if own.any() and not math.isclose(project.option(Option.EMITTER_EXPONENT), _ORIFICE_EXPONENT):
            raise InputError("the network has emitters with another exponent than 0.5: a burst cannot be added to them")
        if own[node - 1]:
            raise InputError(f"node {self._facts.node_ids[node - 1]} has an emitter already: put the burst beside it")
        self._setup.set_option(Option.EMITTER_EXPONENT, _ORIFICE_EXPONENT)
        self._setup.set_option(Option.EMITTER_BACKFLOW, 0)
        per_root_m = DISCHARGE_COEFFICIENT * area_m2 * math.sqrt(2 * _GRAVITY_MS2) / project.units.flow_m3s
        coefficient = per_root_m / math.sqrt(project.units.engine_pressure(1.0))
        self._setup.set_emitter(node, _CLOSED_HOLE)
        return lambda on: self._setup.set_emitter(node, coefficient if on else _CLOSED_HOLE)

    def _link(self, name: str) -> int:
        if name not in self._facts.link_ids:
            raise InputError(f"the network has no link {name}")
        return self._facts.link_ids.index(name) + 1

    def _pump(self, name: str) -> int:
        link = self._link(name)
        if self._facts.link_types[link - 1] is not LinkType.PUMP:
            raise InputError(f"link {name} is no pump")
        return link

    def _node(self, name: str, kind: NodeType) -> int:
        if name not in self._facts.node_ids:
            raise InputError(f"the network has no node {name}")
        node = self._facts.node_ids.index(name) + 1
        if self._facts.node_types[node - 1] is not kind:
            raise InputError(f"node {name} is no {kind.name.lower()}")
        return node


def station_of(setup: Setup, pump: int) -> list[int]:
    """Return the pumps (from 1) of a pump's station: those that share a node with it, or with another of them."""
    facts = setup.facts
    pumps = [n for n, kind in enumerate(facts.link_types) if kind is LinkType.PUMP]
    nodes = {int(facts.link_start[pump - 1]), int(facts.link_end[pump - 1])}
    while True:
        station = [n for n in pumps if int(facts.link_start[n]) in nodes or int(facts.link_end[n]) in nodes]
        reached = nodes | {int(end) for n in station for end in (facts.link_start[n], facts.link_end[n])}
        if reached == nodes:
            return [n + 1 for n in station]
        nodes = reached
