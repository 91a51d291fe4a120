"""Which nodes have a source. EPANET shows pressure behind a closed valve, since pipes stay full: ask the graph first.

Water goes both ways through pipes and valves, forward only through pumps and check valves, not at all through what is
closed. Sources are reservoirs, tanks that are not empty, and junctions where water is put in.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.supply.epanet import LinkType, NodeType
from models.supply.facts import Floats, Integers, ModelFacts
from models.supply.results import Results

Booleans = NDArray[np.bool_]

_MODELS = 8
_ANSWERS = 500

EMPTY_WITHIN_M = 0.005
"""A tank this close to its lowest level is empty."""


class Arcs:
    """The ways water can take: links from start to end, and back unless they are `one_way`; parallel links stay apart.

    They are sorted once, so that asking what is reached costs little more than the search.
    """

    def __init__(self, start: Integers, end: Integers, one_way: Booleans, nodes: int) -> None:
        back = np.flatnonzero(~one_way)
        tails = np.concatenate([start, end[back]])
        order = np.argsort(tails, kind="stable")
        self._heads = np.concatenate([end, start[back]])[order]
        self._links = np.concatenate([np.arange(len(start)), back])[order]
        self._bounds = np.searchsorted(tails[order], np.arange(nodes + 1))
        self._nodes = nodes

    def reached(self, sources: Booleans, is_open: Booleans) -> Booleans:
        """Return which nodes can be reached from the sources through open links."""
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import breadth_first_order

        kept = is_open[self._links]
        first = np.concatenate([[0], np.cumsum(kept)])[self._bounds]
        hub = np.flatnonzero(sources)
        heads = np.concatenate([self._heads[kept], hub])
        firsts = np.append(first, len(heads))
        size = self._nodes + 1
        graph = csr_matrix((np.ones(len(heads)), heads, firsts), shape=(size, size))
        order = breadth_first_order(graph, self._nodes, directed=True, return_predecessors=False)
        found = np.zeros(size, dtype=np.bool_)
        found[order] = True
        return found[: self._nodes]


def one_way(facts: ModelFacts) -> Booleans:
    """Return which links carry water forward only."""
    return np.array([kind in (LinkType.PUMP, LinkType.CVPIPE) for kind in facts.link_types])


class SourceGraph:
    """Answers which nodes have a source, given what is open and how full the tanks are; remembers its last answers.

    `junctions`, `reservoirs` and `tanks` say which nodes are such.
    """

    def __init__(self, facts: ModelFacts) -> None:
        self._start, self._end = facts.link_start, facts.link_end
        self._arcs = Arcs(self._start, self._end, one_way(facts), len(facts.node_ids))
        kinds = np.array([int(kind) for kind in facts.node_types])
        self.junctions: Booleans = kinds == NodeType.JUNCTION
        self.reservoirs: Booleans = kinds == NodeType.RESERVOIR
        self.tanks: Booleans = kinds == NodeType.TANK
        self._empty_below_m = facts.elevation_m + EMPTY_WITHIN_M
        for tank_id, tank in facts.tanks.items():
            self._empty_below_m[facts.node_ids.index(tank_id)] += tank.min_level_m
        self._known: OrderedDict[bytes, Booleans] = OrderedDict()

    def sources(self, head_m: Floats, is_inflow: Booleans) -> Booleans:
        """Return which nodes give water."""
        found: Booleans = self.reservoirs | (self.tanks & (head_m > self._empty_below_m)) | is_inflow
        return found

    def reached_from(self, sources: Booleans, is_open: Booleans) -> Booleans:
        """Return which nodes water gets to from `sources` through what is open."""
        key = is_open.tobytes() + sources.tobytes()
        if key not in self._known:
            self._known[key] = self._arcs.reached(sources, is_open)
            if len(self._known) > _ANSWERS:
                self._known.popitem(last=False)
        return self._known[key]

    def zones(self, is_open: Booleans) -> Integers:
        """Return which zone each node is in: nodes that open links join have the same number."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        ends = self._start[is_open], self._end[is_open]
        nodes = len(self.tanks)
        graph = coo_matrix((np.ones(len(ends[0])), ends), shape=(nodes, nodes))
        labels: Integers = connected_components(graph, directed=False)[1]
        return labels

    def with_source(self, is_open: Booleans, head_m: Floats, is_inflow: Booleans) -> Booleans:
        """Return which nodes have a source."""
        return self.reached_from(self.sources(head_m, is_inflow), is_open)


@lru_cache(maxsize=_MODELS)
def source_graph(facts: ModelFacts) -> SourceGraph:
    """Return the one graph of a model, with the answers it remembers."""
    return SourceGraph(facts)


def hours_with_source(results: Results, facts: ModelFacts) -> Booleans:
    """Return for each whole hour which nodes have a source (hours, nodes)."""
    graph = source_graph(facts)
    rows = [(results.is_open[row], results.head_m[row], results.is_inflow[row]) for row in results.hours]
    return np.array([graph.with_source(*row) for row in rows])
