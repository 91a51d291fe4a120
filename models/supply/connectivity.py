"""Which nodes have a source. EPANET shows pressure behind a closed valve, since pipes stay full: ask the graph first.

Water goes both ways through pipes and valves, forward only through pumps and check valves, not at all through what is
closed. Sources are reservoirs, tanks that are not empty, and junctions where water is put in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.supply.epanet import LinkType, NodeType
from models.supply.facts import Integers, ModelFacts
from models.supply.results import Results

Booleans = NDArray[np.bool_]

EMPTY_WITHIN_M = 0.005
"""A tank this close to its lowest level is empty."""


def reached(
    start: Integers, end: Integers, open_forward: Booleans, open_backward: Booleans, sources: Booleans
) -> Booleans:
    """Return which nodes can be reached from the sources; parallel links stay separate links."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order

    nodes = len(sources)
    hub = np.full(int(sources.sum()), nodes)
    tails = np.concatenate([start[open_forward], end[open_backward], hub])
    heads = np.concatenate([end[open_forward], start[open_backward], np.flatnonzero(sources)])
    graph = coo_matrix((np.ones(len(tails)), (tails, heads)), shape=(nodes + 1, nodes + 1)).tocsr()
    order = breadth_first_order(graph, nodes, directed=True, return_predecessors=False)
    found = np.zeros(nodes + 1, dtype=np.bool_)
    found[order] = True
    return found[:nodes]


def one_way(facts: ModelFacts) -> Booleans:
    """Return which links carry water forward only."""
    return np.array([kind in (LinkType.PUMP, LinkType.CVPIPE) for kind in facts.link_types])


def sources_at(results: Results, facts: ModelFacts, row: int) -> Booleans:
    """Return which nodes are sources in one solution."""
    kinds = np.array([int(kind) for kind in facts.node_types])
    level_m = results.head_m[row] - facts.elevation_m
    lowest = np.zeros(len(kinds))
    for tank_id, tank in facts.tanks.items():
        lowest[facts.node_ids.index(tank_id)] = tank.min_level_m
    filled = (kinds == NodeType.TANK) & (level_m > lowest + EMPTY_WITHIN_M)
    feeding = (kinds == NodeType.JUNCTION) & (results.demand_m3s[row] < -1e-9)
    sources: Booleans = (kinds == NodeType.RESERVOIR) | filled | feeding
    return sources


def hours_with_source(results: Results, facts: ModelFacts) -> Booleans:
    """Return for each whole hour which nodes have a source (hours, nodes)."""
    forward_only = one_way(facts)
    known: dict[bytes, Booleans] = {}
    rows = []
    for row in results.hours:
        is_open, sources = results.is_open[row], sources_at(results, facts, row)
        key = is_open.tobytes() + sources.tobytes()
        if key not in known:
            backward = is_open & ~forward_only
            known[key] = reached(facts.link_start, facts.link_end, is_open, backward, sources)
        rows.append(known[key])
    return np.array(rows)
