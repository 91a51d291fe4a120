"""Who has a source, against networkx on a directed multigraph."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.supply.connectivity import Arcs

links = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans(), st.booleans()), max_size=25)


@given(links, st.sets(st.integers(0, 9)))
def test_reached_equals_brute_force(pipes: list[tuple[int, int, bool, bool]], sources: set[int]) -> None:
    start, end, is_open, one_way = (np.array(c) for c in zip(*pipes, strict=True)) if pipes else (np.zeros(0, int),) * 4
    is_open, one_way = is_open.astype(bool), one_way.astype(bool)
    is_source = np.array([node in sources for node in range(10)])
    found = Arcs(start.astype(np.int64), end.astype(np.int64), one_way, 10).reached(is_source, is_open)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(10))
    for a, b, opened, forward_only in pipes:
        if opened:
            graph.add_edge(a, b)
            if not forward_only:
                graph.add_edge(b, a)
    expected = set(sources).union(*(nx.descendants(graph, source) for source in sources))
    assert set(np.flatnonzero(found)) == expected


def test_water_does_not_go_back_through_a_pump() -> None:
    pump = Arcs(np.array([0]), np.array([1]), np.array([True]), 2)
    opened = np.array([True])
    assert pump.reached(np.array([True, False]), opened).tolist() == [True, True]
    assert pump.reached(np.array([False, True]), opened).tolist() == [False, True]
