"""Cutting a part off: the segment that valves bound around it, and what has no way to water without it.

Nodes and the bodies of links are the vertices; every end of a link joins its node and its body, unless a valve there
keeps them apart. Segments take no notice of what is open in the INP; ways to water do: a link that the INP has closed
carries none unless a control or rule may open it, a shut valve carries none, all others carry it in both directions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from models.supply.connectivity import Booleans
from models.supply.epanet import LinkType, NodeType
from models.supply.facts import Floats, Integers, ModelFacts
from models.supply.isolation.layer import ValveLayer
from models.supply.results import HOUR_S
from twin.errors import InputError
from twin.isolation import Isolation, Refeed, TankFed

_OPENED_BY_HAND = frozenset(LinkType) - {LinkType.PUMP, LinkType.CVPIPE}


class Isolator:
    """Answers for one network and one valve layer; what all answers share is worked out once.

    `levels_m` are the tanks' levels now; a tank that is not in it stands at the INP's first level.
    """

    def __init__(self, facts: ModelFacts, layer: ValveLayer, levels_m: Mapping[str, float] | None = None) -> None:
        self._levels_m = levels_m or {}
        self._facts, self._layer = facts, layer
        self._node_ids, self._link_ids = np.array(facts.node_ids), np.array(facts.link_ids)
        self._nodes = len(facts.node_ids)
        self._size = self._nodes + len(facts.link_ids)
        self._end_node = np.column_stack([facts.link_start, facts.link_end]).ravel()
        self._end_body = self._nodes + np.repeat(np.arange(len(facts.link_ids)), 2)
        self._segment_of = self.partition()
        self._may_open = self._links_that_may_open()
        self._carries = np.repeat(self._may_open, 2)
        self._carries[layer.end[layer.closed]] = False
        kinds = np.array([int(kind) for kind in facts.node_types])
        self._is_junction = np.append(kinds == NodeType.JUNCTION, np.zeros(len(facts.link_ids), dtype=np.bool_))
        self._is_reservoir = np.append(kinds == NodeType.RESERVOIR, np.zeros(len(facts.link_ids), dtype=np.bool_))
        self._is_tank = np.append(kinds == NodeType.TANK, np.zeros(len(facts.link_ids), dtype=np.bool_))
        self._mean_demand_m3s = _mean_demand_m3s(facts)
        fed_by_reservoir, fed_by_tank = self._fed(np.zeros(self._size, dtype=np.bool_))
        self._dry_anyway = self._is_junction & ~fed_by_reservoir & ~fed_by_tank

    def of_link(self, link_id: str) -> Isolation:
        """Return how to cut a link off.

        Raises:
            InputError: If it is not in the network.
        """
        return self._around(self._vertex(link_id, is_link=True))

    def of_node(self, node_id: str) -> Isolation:
        """Return how to cut a node off.

        Raises:
            InputError: If it is not in the network.
        """
        return self._around(self._vertex(node_id, is_link=False))

    def refeeds(self, element_id: str, *, is_link: bool) -> list[Refeed]:
        """Return all that could be opened while this is cut off, by itself: shut valves and links the INP has closed.

        Those come first that give water back to most of the junctions which lose it. A link that more than one thing
        keeps shut is not among them, nor one that touches the segment.

        Raises:
            InputError: If the element is not in the network.
        """
        facts = self._facts
        segment = self._segment_of == self._segment_of[self._vertex(element_id, is_link=is_link)]
        part = self._parts_around(segment)
        has_source = self._with_any(part, (self._is_reservoir | self._is_tank) & ~segment)
        found = []
        for link, valve in self._openable():
            ends = int(facts.link_start[link]), int(facts.link_end[link])
            if segment[[*ends, self._nodes + link]].any():
                continue
            parts = {int(part[end]): bool(has_source[end]) for end in ends}
            dry = [number for number, is_fed in parts.items() if not is_fed] if any(parts.values()) else []
            nodes = self._names(self._is_junction & np.isin(part, dry)) if dry else ()
            found.append(
                Refeed(
                    facts.link_ids[link] if valve is None else self._layer.ids[valve],
                    facts.link_ids[link],
                    valve is not None,
                    nodes,
                )
            )
        before = set(self.dry_anyway)
        return sorted(found, key=lambda refeed: (-sum(node not in before for node in refeed.nodes), -len(refeed.nodes)))

    def _openable(self) -> list[tuple[int, int | None]]:
        """Return the links that one hand opens, and which valve that is (None: the link's own, shut in the INP)."""
        layer, facts = self._layer, self._facts
        shut = np.flatnonzero(layer.closed)
        links = (layer.end[shut] // 2).tolist()
        dead = np.flatnonzero(~self._may_open).tolist()
        hands = Counter([*links, *dead])
        by_valve: list[tuple[int, int | None]] = [
            (link, int(valve))
            for link, valve in zip(links, shut, strict=True)
            if hands[link] == 1 and layer.operable[valve]
        ]
        by_itself: list[tuple[int, int | None]] = [
            (link, None) for link in dead if hands[link] == 1 and facts.link_types[link] in _OPENED_BY_HAND
        ]
        return by_valve + by_itself

    def _vertex(self, element_id: str, *, is_link: bool) -> int:
        ids, what = (self._facts.link_ids, "link") if is_link else (self._facts.node_ids, "node")
        if element_id not in ids:
            raise InputError(f"the network has no {what} {element_id!r}")
        return ids.index(element_id) + (self._nodes if is_link else 0)

    def partition(self) -> Integers:
        """Return which segment each node, and then each link's body, lies in: those of one segment share a number."""
        joined = np.ones(len(self._end_node), dtype=np.bool_)
        joined[self._layer.end[self._layer.bounds]] = False
        return _parts(self._end_node[joined], self._end_body[joined], self._size)

    @property
    def dry_anyway(self) -> tuple[str, ...]:
        """The junctions that have no way to water with nothing cut off."""
        return self._names(self._dry_anyway)

    @property
    def always_cut(self) -> tuple[str, ...]:
        """The links that a shut valve keeps from carrying water, whatever is cut off."""
        return tuple(self._link_ids[self._layer.shut_links].tolist())

    def cut_links(self, plan: Isolation) -> tuple[str, ...]:
        """Return the links that carry nothing: those with an end in the segment, and those with a shut valve."""
        facts = self._facts
        nodes = np.isin(self._node_ids, plan.segment_nodes)
        links = np.isin(self._link_ids, plan.segment_links)
        links |= nodes[facts.link_start] | nodes[facts.link_end]
        links[self._layer.shut_links] = True
        return tuple(self._link_ids[links].tolist())

    def _around(self, vertex: int) -> Isolation:
        facts, layer = self._facts, self._layer
        segment = self._segment_of == self._segment_of[vertex]
        on_edge = segment[self._end_node[layer.end]] != segment[self._end_body[layer.end]]
        inside = segment[self._end_node[layer.end]] & segment[self._end_body[layer.end]]
        to_close = np.flatnonzero(on_edge & layer.operable & ~layer.closed)
        fed_by_reservoir, fed_by_tank = self._fed(segment)
        dry = self._is_junction & ~fed_by_reservoir & ~fed_by_tank
        return Isolation(
            valves=tuple(layer.ids[place] for place in self._in_order(vertex, segment, to_close)),
            valves_assumed=layer.assumed,
            segment_nodes=tuple(facts.node_ids[place] for place in np.flatnonzero(segment[: self._nodes])),
            segment_links=tuple(facts.link_ids[place] for place in np.flatnonzero(segment[self._nodes :])),
            dry_nodes=self._names(dry),
            unintended_nodes=self._names(dry & ~segment & ~self._dry_anyway),
            tank_fed=self._tank_fed(fed_by_tank & ~fed_by_reservoir),
            stuck_valves=tuple(layer.ids[place] for place in np.flatnonzero(inside & ~layer.bounds)),
        )

    def _in_order(self, vertex: int, segment: Booleans, valves: Integers) -> list[int]:
        """Return valves with the one nearest to the break first, counted in links."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import dijkstra

        within = segment[self._end_node] & segment[self._end_body]
        graph = coo_matrix(
            (np.ones(within.sum()), (self._end_node[within], self._end_body[within])), shape=(self._size, self._size)
        )
        distance = dijkstra(graph.tocsr(), directed=False, indices=vertex, unweighted=True)
        ends = self._layer.end[valves]
        near = np.minimum(distance[self._end_node[ends]], distance[self._end_body[ends]])
        return [int(place) for _, place in sorted(zip(near, valves, strict=True))]

    def _fed(self, segment: Booleans) -> tuple[Booleans, Booleans]:
        """Return what has a way to a reservoir, and what to a tank, around the segment."""
        part = self._parts_around(segment)
        by_reservoir, by_tank = (
            self._with_any(part, sources & ~segment) & ~segment for sources in (self._is_reservoir, self._is_tank)
        )
        return by_reservoir, by_tank

    def _parts_around(self, segment: Booleans) -> Integers:
        """Return which part each vertex is in when water goes around the segment."""
        kept = self._carries & ~segment[self._end_node] & ~segment[self._end_body]
        return _parts(self._end_node[kept], self._end_body[kept], self._size)

    def _with_any(self, part: Integers, wanted: Booleans) -> Booleans:
        """Return the vertices in whose part there is one of the wanted."""
        has_one = np.zeros(self._size, dtype=np.bool_)
        has_one[part[wanted]] = True
        found: Booleans = has_one[part]
        return found

    def _tank_fed(self, fed: Booleans) -> tuple[TankFed, ...]:
        if not fed.any():
            return ()
        kept = self._carries & fed[self._end_node] & fed[self._end_body]
        part = _parts(self._end_node[kept], self._end_body[kept], self._size)
        pockets = []
        for number in dict.fromkeys(part[self._is_tank & fed].tolist()):
            within = fed & (part == number)
            nodes = self._names(within & self._is_junction)
            tanks = self._names(within & self._is_tank)
            if nodes:
                pockets.append(TankFed(tanks, nodes, self._lasts_h(tanks, within)))
        return tuple(pockets)

    def _lasts_h(self, tanks: tuple[str, ...], within: Booleans) -> float | None:
        demand_m3s = float(self._mean_demand_m3s[within[: self._nodes]].sum())
        if demand_m3s <= 0:
            return None
        stored_m3 = 0.0
        for tank_id in tanks:
            tank = self._facts.tanks[tank_id]
            level_m = self._levels_m.get(tank_id, tank.initial_level_m)
            stored_m3 += max(0.0, float(tank.volume_m3(level_m) - tank.volume_m3(tank.min_level_m)))
        return stored_m3 / demand_m3s / HOUR_S

    def _links_that_may_open(self) -> Booleans:
        facts = self._facts
        links = {link_id: place for place, link_id in enumerate(facts.link_ids)}
        may_open = facts.initially_open.copy()
        may_open[[links[control.link_id] for control in facts.controls]] = True
        may_open[[links[link_id] for link_id in facts.ruled_links]] = True
        return may_open

    def _names(self, vertices: Booleans) -> tuple[str, ...]:
        return tuple(self._facts.node_ids[place] for place in np.flatnonzero(vertices[: self._nodes]))


def _parts(one: Integers, other: Integers, size: int) -> Integers:
    """Return for each vertex the number of the connected part that it is in."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(one), dtype=np.int8), (one, other)), shape=(size, size))
    labels: Integers = connected_components(graph, directed=False)[1]
    return labels


def _mean_demand_m3s(facts: ModelFacts) -> Floats:
    """Return what consumers at each node take on average over a day of the model's own patterns."""
    demands, found = facts.demands, np.zeros(len(facts.node_ids))
    hours = 24
    for number in np.unique(demands.pattern):
        chosen = (demands.pattern == number) & demands.consumes
        mean = float(facts.pattern_means(int(number), 0, hours, HOUR_S).mean())
        np.add.at(found, demands.node[chosen], demands.base_m3s[chosen] * mean)
    return found
