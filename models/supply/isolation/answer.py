"""The whole answer of an isolation: the plan, and by runs of 24 hours who keeps too little pressure and what helps.

Runs are pressure-driven, cold from the model's time 0. Every link that is cut at one end at least is closed. What is
closed for good (`normally_closed`) is so in the base run too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.supply.connectivity import Booleans
from models.supply.epanet import NodeType
from models.supply.facts import ModelFacts
from models.supply.isolation.layer import ValveLayer, assumed_layer, layer_of
from models.supply.isolation.plan import Isolator
from models.supply.open_supply import OpenSupply, open_supply
from models.supply.outage import Closure, pressures_m, run_closure
from models.supply.results import HOUR_S
from twin.errors import ModelError
from twin.isolation import Isolation
from twin.valves import Valve

HOURS = 24
_MOST_REFEEDS = 20


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be cut off: a link or a node."""

    element_id: str
    is_link: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """The valves (None: assumed at both ends of every pipe), what is known of them now, and what is asked."""

    valves: tuple[Valve, ...] | None = None
    inoperable: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    hydraulics: bool = True
    required_pressure_m: float = 10.0

    def layer(self, facts: ModelFacts) -> ValveLayer:
        """Return the valves in a network.

        Raises:
            InputError: If a valve's place or a name is not in it.
        """
        if self.valves is None:
            return assumed_layer(facts, inoperable=self.inoperable, closed=self.closed)
        return layer_of(facts, self.valves, inoperable=self.inoperable, closed=self.closed)


def isolations(inp: bytes, targets: Sequence[Target], terms: Terms, wall_limit_s: float) -> list[dict[str, Any]]:
    """Answer for each target in order, in an engine worker.

    Raises:
        InputError: If the INP is refused, or a link, node or valve is not in it; the message names it.
        ModelError: If the base run gives no believable answer.
    """
    answerer = _Answerer(open_supply(inp), terms, wall_limit_s)
    return [answerer.answer(target) for target in targets]


class _Answerer:
    def __init__(self, supply: OpenSupply, terms: Terms, wall_limit_s: float) -> None:
        facts = supply.facts
        self._supply, self._facts, self._terms, self._wall_limit_s = supply, facts, terms, wall_limit_s
        self._layer = terms.layer(facts)
        self._isolator = Isolator(facts, self._layer)
        stuck = ~self._layer.operable & ~self._layer.closed
        self._if_all_turned = (
            Isolator(facts, replace(self._layer, operable=self._layer.operable | stuck)) if stuck.any() else None
        )
        self._is_junction = np.array([kind is NodeType.JUNCTION for kind in facts.node_types])
        self._base_low: Booleans | None = None

    def answer(self, target: Target) -> dict[str, Any]:
        plan = _plan(self._isolator, target)
        found: dict[str, Any] = {
            "link" if target.is_link else "node": target.element_id,
            "valves": list(plan.valves),
            "valves_assumed": plan.valves_assumed,
            "segment": {"nodes": list(plan.segment_nodes), "links": list(plan.segment_links)},
            "dry_nodes": list(plan.dry_nodes),
            "unintended_nodes": list(plan.unintended_nodes),
            "tank_fed": [
                {"tanks": list(pocket.tanks), "nodes": list(pocket.nodes), "lasts_h": pocket.lasts_h}
                for pocket in plan.tank_fed
            ],
            "stuck_valves": list(plan.stuck_valves),
            "dry_nodes_if_all_valves_turned": self._dry_if_all_turned(target, plan),
            "low_pressure_nodes": None,
            "refeed": self._refeeds_by_graph(target, plan),
            "engine": self._facts.engine,
        }
        if self._terms.hydraulics:
            try:
                low = self._low(plan, self._isolator)
                found["low_pressure_nodes"] = self._names(low)
                found["refeed"] = self._refeeds_by_runs(target, plan, low)
            except ModelError as error:
                found["hydraulics_error"] = str(error)
        return found

    def _dry_if_all_turned(self, target: Target, plan: Isolation) -> list[str]:
        if self._if_all_turned is None or not plan.stuck_valves:
            return list(plan.dry_nodes)
        return list(_plan(self._if_all_turned, target).dry_nodes)

    # -------------------------------------------------------------------------------------------- pressures

    def _low(self, plan: Isolation, isolator: Isolator) -> Booleans:
        """Return junctions that are not dry and too low at some step, but not so in the base run."""
        if self._base_low is None:
            self._base_low = self._too_low(self._isolator.always_cut)
        dry = np.isin(np.array(self._facts.node_ids), plan.dry_nodes)
        low: Booleans = self._too_low(isolator.cut_links(plan)) & ~self._base_low & ~dry
        return low

    def _too_low(self, closed: tuple[str, ...]) -> Booleans:
        facts = self._facts
        closure = Closure(closed, 0, HOURS * HOUR_S, self._terms.required_pressure_m)
        results = run_closure(self._supply, closure, wall_limit_s=self._wall_limit_s)
        pressure_m = pressures_m(results, facts, slice(None))
        low: Booleans = self._is_junction & (pressure_m < self._terms.required_pressure_m).any(axis=0)
        return low

    # ------------------------------------------------------------------------------------------------ refeed

    def _refeeds_by_graph(self, target: Target, plan: Isolation) -> list[dict[str, Any]]:
        """Return the shut valves that give water back to somebody when they are opened, each alone."""
        found = []
        for place in self._openable(plan):
            again = _plan(self._with_open(place), target)
            if back := sorted(set(plan.dry_nodes) - set(again.dry_nodes)):
                found.append({"valve_id": self._layer.ids[place], "nodes": back})
        return found

    def _refeeds_by_runs(self, target: Target, plan: Isolation, low: Booleans) -> list[dict[str, Any]]:
        found = []
        for place in self._openable(plan)[:_MOST_REFEEDS]:
            opened = self._with_open(place)
            again = _plan(opened, target)
            back = sorted(set(plan.dry_nodes) - set(again.dry_nodes))
            still_low = self._low(again, opened)
            better = self._names(low & ~still_low)
            if back or better:
                short = sorted(set(back) & set(self._names(still_low)))
                found.append(
                    {
                        "valve_id": self._layer.ids[place],
                        "nodes": back,
                        "nodes_still_low": short,
                        "no_longer_low": better,
                    }
                )
        return found

    def _openable(self, plan: Isolation) -> list[int]:
        """Return shut valves that can be opened and are not next to the segment."""
        facts, layer = self._facts, self._layer
        nodes, links = set(plan.segment_nodes), set(plan.segment_links)
        return [
            int(place)
            for place in np.flatnonzero(layer.closed & layer.operable)
            if facts.link_ids[layer.end[place] // 2] not in links
            and not nodes & {facts.node_ids[ends[layer.end[place] // 2]] for ends in (facts.link_start, facts.link_end)}
        ]

    def _with_open(self, place: int) -> Isolator:
        """Return plans with one shut valve open. It can still be shut again, so it bounds as before."""
        closed = self._layer.closed.copy()
        closed[place] = False
        return Isolator(self._facts, replace(self._layer, closed=closed))

    def _names(self, nodes: Booleans) -> list[str]:
        return [self._facts.node_ids[place] for place in np.flatnonzero(nodes)]


def _plan(isolator: Isolator, target: Target) -> Isolation:
    return isolator.of_link(target.element_id) if target.is_link else isolator.of_node(target.element_id)
