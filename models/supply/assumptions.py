"""Whose supply could rest on what is merely assumed about tanks, pumps and valves."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from models.supply.connectivity import one_way, source_graph
from models.supply.facts import ModelFacts
from twin.network import Network


def area_of(elements: Collection[str], network: Network, facts: ModelFacts) -> tuple[str, ...]:
    """Return the nodes whose supply could rest on `elements` (tanks and links), in the engine's order.

    These are the districts that an element lies in or between (a pump may empty the tank that it draws from), and
    all that water can reach from it: open or closed, every link is taken as open.
    """
    if not elements:
        return ()
    column = {node_id: position for position, node_id in enumerate(facts.node_ids)}
    forward_only = one_way(facts)
    fed = np.zeros(len(facts.node_ids), dtype=np.bool_)
    districts = set()
    for node_id in set(elements) & column.keys():
        fed[column[node_id]] = True
        districts.add(network.district_of_node[node_id])
    for position, link_id in enumerate(facts.link_ids):
        if link_id in elements:
            start, end = int(facts.link_start[position]), int(facts.link_end[position])
            fed[[end] if forward_only[position] else [start, end]] = True
            districts |= {network.district_of_node[facts.node_ids[node]] for node in (start, end)}
    downstream = source_graph(facts).reached_from(fed, np.ones_like(forward_only))
    return tuple(
        node_id
        for node_id, is_fed in zip(facts.node_ids, downstream, strict=True)
        if is_fed or network.district_of_node[node_id] in districts
    )
