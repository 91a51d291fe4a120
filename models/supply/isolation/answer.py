"""The whole answer of an isolation: the plan, and by runs of 24 hours who keeps too little pressure and what helps.

Runs are pressure-driven, cold from the model's time 0. Every link that is cut at one end at least is closed. What is
closed for good (`normally_closed`) is so in the base run too.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from models.supply.connectivity import Booleans
from models.supply.epanet import NodeType
from models.supply.facts import Floats, ModelFacts
from models.supply.isolation.layer import ValveLayer, assumed_layer, layer_of, placed
from models.supply.isolation.plan import Isolator
from models.supply.open_supply import OpenSupply, open_supply
from models.supply.outage import Closure, pressures_m, run_closure
from models.supply.results import HOUR_S
from twin.errors import InputError, ModelError
from twin.hydrants import Hydrant
from twin.isolation import Isolation, Refeed
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
    """The valves (None: assumed at both ends of every pipe), what is known of them now, and what is asked.

    `levels_m` are tanks' levels now; without one a tank stands at the INP's first level. Hydrants None: none are known.
    Of `customer_nodes` those are named that are not in the network. With `passes_over`, so are valves and hydrants that
    have no place in it; without, they are errors.
    """

    valves: tuple[Valve, ...] | None = None
    inoperable: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    hydraulics: bool = True
    required_pressure_m: float = 10.0
    hydrants: tuple[Hydrant, ...] | None = None
    levels_m: Mapping[str, float] = field(default_factory=dict)
    customer_nodes: frozenset[str] = frozenset()
    passes_over: bool = False

    def layer(self, facts: ModelFacts) -> ValveLayer:
        """Return the valves in a network.

        Raises:
            InputError: If a valve's place or a name is not in it.
        """
        if self.valves is None:
            return assumed_layer(facts, inoperable=self.inoperable, closed=self.closed)
        valves = placed(facts, self.valves) if self.passes_over else self.valves
        return layer_of(facts, valves, inoperable=self.inoperable, closed=self.closed)


def isolations(inp: bytes, targets: Sequence[Target], terms: Terms, wall_limit_s: float) -> list[dict[str, Any]]:
    """Answer for each target in order, in an engine worker. What runs would say is left out when the time is up.

    Raises:
        InputError: If the INP is refused, or a link, node or valve is not in it; the message names it.
        ModelError: If the base run gives no believable answer.
    """
    until = time.monotonic() + wall_limit_s
    answerer = _answerer(open_supply(inp), terms)
    return [answerer.answer(target, until) for target in targets]


_kept: list[_Answerer] = []
"""The answerer used last: what it knows of the network and of the base run serves the next question too."""


def _answerer(supply: OpenSupply, terms: Terms) -> _Answerer:
    if not _kept or not _kept[0].is_for(supply, terms):
        _kept[:] = [_Answerer(supply, terms)]
    return _kept[0]


class _Answerer:
    def __init__(self, supply: OpenSupply, terms: Terms) -> None:
        facts = supply.facts
        self._supply, self._facts, self._terms, self._until = supply, facts, terms, 0.0
        self._layer = terms.layer(facts)
        self._isolator = Isolator(facts, self._layer, terms.levels_m)
        self._hydrants = None if terms.hydrants is None else list(_with_elevations(facts, terms))
        self._nobodys = sorted(terms.customer_nodes.difference(facts.node_ids))
        self._place_of_valve = {valve_id: place for place, valve_id in enumerate(self._layer.ids)}
        self._unplaced = [valve.valve_id for valve in terms.valves or () if valve.valve_id not in self._place_of_valve]
        stuck = ~self._layer.operable & ~self._layer.closed
        self._if_all_turned = (
            Isolator(facts, replace(self._layer, operable=self._layer.operable | stuck)) if stuck.any() else None
        )
        shut = self._layer.closed
        self._if_none_shut = (
            Isolator(facts, replace(self._layer, operable=self._layer.bounds, closed=np.zeros_like(shut)))
            if shut.any()
            else None
        )
        self._is_junction = np.array([kind is NodeType.JUNCTION for kind in facts.node_types])
        self._base_low: Booleans | None = None

    def is_for(self, supply: OpenSupply, terms: Terms) -> bool:
        """Whether the answers for this model and these terms come from here."""
        return self._supply is supply and self._terms == terms

    def answer(self, target: Target, until: float) -> dict[str, Any]:
        """Answer for one target; runs end by the moment `until` of the monotonic clock."""
        self._until = until
        plan = _plan(self._isolator, target)
        refeeds = self._isolator.refeeds(target.element_id, is_link=target.is_link)
        found: dict[str, Any] = {
            "link" if target.is_link else "node": target.element_id,
            "valves": list(plan.valves),
            "valves_assumed": plan.valves_assumed,
            "valve_places": [self._place(valve_id) for valve_id in plan.valves],
            "segment": {"nodes": list(plan.segment_nodes), "links": list(plan.segment_links)},
            "dry_nodes": list(plan.dry_nodes),
            "unintended_nodes": list(plan.unintended_nodes),
            "tank_fed": [
                {"tanks": list(pocket.tanks), "nodes": list(pocket.nodes), "lasts_h": pocket.lasts_h}
                for pocket in plan.tank_fed
            ],
            "stuck_valves": list(plan.stuck_valves),
            "dry_nodes_if_all_valves_turned": self._dry_if_all_turned(target, plan),
            "dry_nodes_if_no_valve_shut": self._dry_if_none_shut(target, plan),
            "low_pressure_nodes": None,
            **_refeeds([_Refeeding(refeed) for refeed in refeeds if refeed.nodes]),
            "flushing": self._flushing(plan),
            "valves_not_in_network": list(self._unplaced),
            "customer_nodes_not_in_network": list(self._nobodys),
            "engine": self._facts.engine,
        }
        if self._terms.hydraulics:
            try:
                low = self._low(self._lowest_m(self._isolator.cut_links(plan))) & ~self._places(plan.dry_nodes)
                found["low_pressure_nodes"] = self._names(low)
                found |= _refeeds(self._refeeds_by_runs(refeeds, plan, low))
            except ModelError as error:
                found["hydraulics_error"] = str(error)
        return found

    def _place(self, valve_id: str) -> dict[str, str]:
        """Return on which link and at which node of it a valve is."""
        facts, end = self._facts, int(self._layer.end[self._place_of_valve[valve_id]])
        node = (facts.link_start, facts.link_end)[end % 2][end // 2]
        return {"valve_id": valve_id, "link_id": facts.link_ids[end // 2], "near_node": facts.node_ids[node]}

    def _flushing(self, plan: Isolation) -> dict[str, Any] | None:
        """Return the hydrants in the segment, the lowest first: there it drains, at the highest air comes in."""
        if self._hydrants is None:
            return None
        inside = set(plan.segment_nodes)
        points = sorted(
            (elevation_m, hydrant.hydrant_id, hydrant)
            for elevation_m, hydrant in self._hydrants
            if hydrant.node_id in inside
        )
        return {
            "points": [
                {"hydrant_id": name, "node": hydrant.node_id, "kind": hydrant.kind.value, "elevation_m": elevation_m}
                for elevation_m, name, hydrant in points
            ],
            "lowest": points[0][1] if points else None,
            "highest": points[-1][1] if points else None,
        }

    def _dry_if_all_turned(self, target: Target, plan: Isolation) -> list[str]:
        if self._if_all_turned is None or not plan.stuck_valves:
            return list(plan.dry_nodes)
        return list(_plan(self._if_all_turned, target).dry_nodes)

    def _dry_if_none_shut(self, target: Target, plan: Isolation) -> list[str]:
        """Return who is dry in the same segment where no valve is shut but those around it."""
        found = plan if self._if_none_shut is None else _plan(self._if_none_shut, target)
        return list(found.dry_nodes)

    # -------------------------------------------------------------------------------------------- pressures

    def _lowest_m(self, closed: Collection[str], opened: tuple[str, ...] = ()) -> Floats:
        """Return each node's lowest pressure of the run."""
        duration_s = HOURS * HOUR_S
        closure = Closure(tuple(closed), 0, duration_s, self._terms.required_pressure_m, opened)
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise ModelError("there was no time left for the runs that tell pressures")
        results = run_closure(self._supply, closure, wall_limit_s=left_s)
        lowest: Floats = pressures_m(results, self._facts, slice(None)).min(axis=0)
        return lowest

    def _low(self, lowest_m: Floats) -> Booleans:
        """Return the junctions that are too low at some step, but not so in the base run."""
        if self._base_low is None:
            self._base_low = self._lowest_m(self._isolator.always_cut) < self._terms.required_pressure_m
        low: Booleans = self._is_junction & (lowest_m < self._terms.required_pressure_m) & ~self._base_low
        return low

    # ------------------------------------------------------------------------------------------------ refeed

    def _refeeds_by_runs(self, refeeds: Sequence[Refeed], plan: Isolation, low: Booleans) -> list[_Refeeding]:
        """Return what helps, with the pressures it gives: the lowest in 24 h at each junction that it helps.

        `newly_low` are junctions that pay for it: neither dry nor low without.
        """
        dry, found = self._places(plan.dry_nodes), []
        for refeed in refeeds[:_MOST_REFEEDS] if plan.dry_nodes or low.any() else ():
            closed = set(self._isolator.cut_links(plan)) - {refeed.link_id}
            try:
                lowest_m = self._lowest_m(sorted(closed), () if refeed.is_valve else (refeed.link_id,))
            except ModelError as error:
                if refeed.nodes:
                    found.append(_Refeeding(refeed, {"hydraulics_error": str(error)}))
                continue
            now_low, back = self._low(lowest_m), self._places(refeed.nodes)
            better = low & ~now_low
            if not refeed.nodes and not better.any():
                continue
            pressures = {
                "min_pressure_m": {self._facts.node_ids[n]: float(lowest_m[n]) for n in np.flatnonzero(back | better)},
                "nodes_still_low": self._names(back & (lowest_m < self._terms.required_pressure_m)),
                "no_longer_low": self._names(better),
                "newly_low": self._names(now_low & ~low & ~dry),
            }
            found.append(_Refeeding(refeed, pressures))
        return found

    def _places(self, node_ids: Sequence[str]) -> Booleans:
        places: Booleans = np.isin(np.array(self._facts.node_ids), node_ids)
        return places

    def _names(self, nodes: Booleans) -> list[str]:
        return [self._facts.node_ids[place] for place in np.flatnonzero(nodes)]


@dataclass(frozen=True, slots=True)
class _Refeeding:
    """Something to open, and the pressures that runs give with it open."""

    refeed: Refeed
    pressures: dict[str, Any] = field(default_factory=dict)


def _refeeds(found: Sequence[_Refeeding]) -> dict[str, Any]:
    """Return the valves to open, and apart from them the links that the INP has closed."""
    valves, links = ([each for each in found if each.refeed.is_valve is kind] for kind in (True, False))
    return {
        "refeed": [
            {"valve_id": each.refeed.valve_id, "link_id": each.refeed.link_id, **_helped(each)} for each in valves
        ],
        "refeed_links": [{"link_id": each.refeed.link_id, **_helped(each)} for each in links],
    }


def _helped(each: _Refeeding) -> dict[str, Any]:
    return {"nodes": list(each.refeed.nodes), **each.pressures}


def _with_elevations(facts: ModelFacts, terms: Terms) -> Iterator[tuple[float, Hydrant]]:
    """Yield hydrants with their nodes' elevations.

    Raises:
        InputError: If a hydrant's node is not in the network and that is not to be passed over.
    """
    elevations = dict(zip(facts.node_ids, facts.elevation_m.tolist(), strict=True))
    for hydrant in terms.hydrants or ():
        if hydrant.node_id in elevations:
            yield elevations[hydrant.node_id], hydrant
        elif not terms.passes_over:
            raise InputError(f"hydrant {hydrant.hydrant_id!r}: the network has no node {hydrant.node_id!r}")


def _plan(isolator: Isolator, target: Target) -> Isolation:
    return isolator.of_link(target.element_id) if target.is_link else isolator.of_node(target.element_id)
