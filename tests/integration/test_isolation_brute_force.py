"""Isolation plans against a search that knows nothing of arrays: dictionaries and a stack, step by step."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp

import pytest

from models.networks.ctown import SUPPLY_INP
from models.supply.epanet import LinkType, NodeType
from models.supply.facts import ModelFacts
from models.supply.inp import vet_inp
from models.supply.isolation.layer import assumed_layer, layer_of
from models.supply.isolation.plan import Isolator
from models.supply.open_supply import OpenSupply
from twin.isolation import Isolation, Refeed
from twin.valves import Valve

WNTR_NETWORKS = Path(str(files("wntr"))) / "library" / "networks"
_OF_WNTR = ("Net1", "Net2", "Net3", "Net6", "ky4", "ky10")
NETWORKS = {name: WNTR_NETWORKS / f"{name}.inp" for name in _OF_WNTR} | {"C-Town": SUPPLY_INP}


@cache
def facts_of(name: str) -> ModelFacts:
    supply = OpenSupply(vet_inp(NETWORKS[name].read_bytes()), Path(mkdtemp()))
    facts = supply.facts
    supply.close()
    return facts


def some_valves(facts: ModelFacts, chance: random.Random, density: float) -> list[Valve]:
    valves = []
    for place, link_id in enumerate(facts.link_ids):
        for node in (facts.link_start[place], facts.link_end[place]):
            while chance.random() < density * 0.9:  # several at one end now and then
                stuck, shut = chance.random() < 0.1, chance.random() < 0.05
                valves.append(Valve(f"V{len(valves)}", link_id, facts.node_ids[node], not stuck, shut))
    return valves


class ByHand:
    """The rules, word by word."""

    def __init__(self, facts: ModelFacts, valves: Iterable[Valve]) -> None:
        self.ends = {
            link_id: (facts.node_ids[facts.link_start[n]], facts.node_ids[facts.link_end[n]])
            for n, link_id in enumerate(facts.link_ids)
        }
        self.links_at: dict[str, list[str]] = {node: [] for node in facts.node_ids}
        for link, ends in self.ends.items():
            for node in set(ends):
                self.links_at[node].append(link)
        self.valves = list(valves)
        self.valves_at: dict[tuple[str, str], list[Valve]] = {}
        for valve in self.valves:
            self.valves_at.setdefault((valve.link_id, valve.near_node), []).append(valve)
        named = {control.link_id for control in facts.controls} | set(facts.ruled_links)
        self.dead = {
            link_id for n, link_id in enumerate(facts.link_ids) if not facts.initially_open[n] and link_id not in named
        }
        self.kind = dict(zip(facts.node_ids, facts.node_types, strict=True))
        one_way = (LinkType.PUMP, LinkType.CVPIPE)
        self.openable_links = {
            link for n, link in enumerate(facts.link_ids) if link in self.dead and facts.link_types[n] not in one_way
        }

    def neighbours(self, thing: tuple[str, str]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """Return what is next to a node or link, each with the link's end that lies between."""
        what, name = thing
        if what == "node":
            return [(("link", link), (link, name)) for link in self.links_at[name]]
        return [(("node", node), (name, node)) for node in self.ends[name]]

    def segment(self, start: tuple[str, str]) -> set[tuple[str, str]]:
        found, stack = {start}, [start]
        while stack:
            for other, end in self.neighbours(stack.pop()):
                blocked = any(valve.operable or valve.normally_closed for valve in self.valves_at.get(end, ()))
                if not blocked and other not in found:
                    found.add(other)
                    stack.append(other)
        return found

    def reached(self, kind: NodeType, segment: set[tuple[str, str]]) -> set[str]:
        stack = [("node", node) for node, own in self.kind.items() if own is kind and ("node", node) not in segment]
        found = set(stack)
        while stack:
            here = stack.pop()
            for other, end in self.neighbours(here):
                if other in found or other in segment or end[0] in self.dead:
                    continue
                if any(valve.normally_closed for valve in self.valves_at.get(end, ())):
                    continue
                found.add(other)
                stack.append(other)
        return {name for what, name in found if what == "node"}

    def dry(self, segment: set[tuple[str, str]]) -> set[str]:
        fed = self.reached(NodeType.RESERVOIR, segment) | self.reached(NodeType.TANK, segment)
        junctions = {node for node, kind in self.kind.items() if kind is NodeType.JUNCTION}
        return {node for node in junctions if ("node", node) in segment or node not in fed}

    def back_with_valve(self, number: int, segment: set[tuple[str, str]]) -> set[str]:
        """Return who is no longer dry when one shut valve is open."""
        before, valve = self.dry(segment), self.valves[number]
        self._put(number, replace(valve, normally_closed=False))
        after = self.dry(segment)
        self._put(number, valve)
        return before - after

    def back_with_link(self, link: str, segment: set[tuple[str, str]]) -> set[str]:
        """Return who is no longer dry when one link that the INP has closed is open."""
        before = self.dry(segment)
        self.dead.remove(link)
        after = self.dry(segment)
        self.dead.add(link)
        return before - after

    def _put(self, number: int, valve: Valve) -> None:
        at = self.valves_at[valve.link_id, valve.near_node]
        at[[each.valve_id for each in at].index(valve.valve_id)] = valve
        self.valves[number] = valve


def check_refeeds(by_hand: ByHand, target: tuple[str, str], refeeds: Sequence[Refeed], chance: random.Random) -> int:
    """Compare those that can be opened, some of them; return how many help."""
    segment, helps = by_hand.segment(target), 0
    found = {(refeed.valve_id, refeed.is_valve): set(refeed.nodes) for refeed in refeeds if refeed.nodes}
    shut = [n for n, valve in enumerate(by_hand.valves) if valve.normally_closed and valve.operable]
    for number in chance.sample(shut, min(6, len(shut))):
        back = by_hand.back_with_valve(number, segment)
        assert found.get((by_hand.valves[number].valve_id, True), set()) == back
        helps += bool(back)
    for link in chance.sample(sorted(by_hand.openable_links), min(3, len(by_hand.openable_links))):
        back = by_hand.back_with_link(link, segment)
        assert found.get((link, False), set()) == back
        helps += bool(back)
    return helps


def check(facts: ModelFacts, by_hand: ByHand, target: tuple[str, str], plan: Isolation) -> None:
    segment = by_hand.segment(target)
    assert {("node", n) for n in plan.segment_nodes} | {("link", n) for n in plan.segment_links} == segment
    one_side = {
        valve.valve_id
        for valve in by_hand.valves
        if valve.operable
        and not valve.normally_closed
        and (("node", valve.near_node) in segment) != (("link", valve.link_id) in segment)
    }
    assert set(plan.valves) == one_side
    assert len(plan.valves) == len(one_side)
    by_reservoir, by_tank = by_hand.reached(NodeType.RESERVOIR, segment), by_hand.reached(NodeType.TANK, segment)
    junctions = {node for node, kind in by_hand.kind.items() if kind is NodeType.JUNCTION}
    dry = {n for n in junctions if ("node", n) in segment or n not in by_reservoir | by_tank}
    assert set(plan.dry_nodes) == dry
    always_wet = by_hand.reached(NodeType.RESERVOIR, set()) | by_hand.reached(NodeType.TANK, set())
    assert set(plan.unintended_nodes) == {n for n in dry & always_wet if ("node", n) not in segment}
    assert {n for pocket in plan.tank_fed for n in pocket.nodes} == (by_tank - by_reservoir) & junctions - dry


@pytest.mark.parametrize("density", [None, 0.15, 0.6, 1.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_plans_are_what_a_search_by_hand_finds(name: str, density: float | None) -> None:
    facts, chance = facts_of(name), random.Random(f"{name} {density}")
    if density is None:
        valves = [
            Valve(f"{link}@{facts.node_ids[node]}", link, facts.node_ids[node])
            for place, link in enumerate(facts.link_ids)
            if facts.link_types[place] in (LinkType.PIPE, LinkType.CVPIPE)
            for node in (facts.link_start[place], facts.link_end[place])
        ]
        isolator = Isolator(facts, assumed_layer(facts))
    else:
        valves = some_valves(facts, chance, density)
        isolator = Isolator(facts, layer_of(facts, valves))
    by_hand = ByHand(facts, valves)
    for number, link in enumerate(chance.sample(facts.link_ids, min(12, len(facts.link_ids)))):
        check(facts, by_hand, ("link", link), isolator.of_link(link))
        if number < 3:
            check_refeeds(by_hand, ("link", link), isolator.refeeds(link, is_link=True), chance)
    for node in chance.sample(facts.node_ids, min(12, len(facts.node_ids))):
        check(facts, by_hand, ("node", node), isolator.of_node(node))


@pytest.mark.parametrize("name", ["Net1", "Net2", "Net3"])
def test_what_can_be_opened_is_what_a_search_by_hand_finds(name: str) -> None:
    facts, chance, helps = facts_of(name), random.Random(name), 0
    for _ in range(20):
        valves = some_valves(facts, chance, 0.5)
        isolator, by_hand = Isolator(facts, layer_of(facts, valves)), ByHand(facts, valves)
        for node in chance.sample(facts.node_ids, 3):
            helps += check_refeeds(by_hand, ("node", node), isolator.refeeds(node, is_link=False), chance)
    assert helps > 10, "some must help"
