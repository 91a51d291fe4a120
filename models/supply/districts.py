"""Districts: what remains of a network when the links that carry a flow meter are taken out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from twin.network import Link, Network, NodeKind
from twin.readings import ElementType, Sensor
from twin.units import Quantity


def metered_links(sensors: Iterable[Sensor]) -> frozenset[str]:
    """Return the links on which a sensor measures flow."""
    return frozenset(
        sensor.element_id
        for sensor in sensors
        if sensor.quantity is Quantity.FLOW and sensor.element_type is ElementType.LINK
    )


def names_at_nodes(sensors: Iterable[Sensor]) -> dict[str, str]:
    """Return the districts that sensors at nodes say they lie in, by node."""
    return {
        sensor.element_id: sensor.district
        for sensor in sorted(sensors, key=lambda sensor: sensor.sensor_id, reverse=True)
        if sensor.element_type is ElementType.NODE and sensor.district
    }


def with_districts(network: Network, metered: Collection[str], named: Mapping[str, str] | None = None) -> Network:
    """Return the network with each node's district, given the links that are metered."""
    return replace(network, district_of_node=district_of_nodes(network, metered, named))


def district_of_nodes(
    network: Network, metered: Collection[str], named: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the district of each node: the nodes joined by links that are not metered.

    Open or closed, every link joins: a district is a place, not a state. It bears the name that the sensors at its
    tanks give (`named`, by node) if they give one and no other district has it; else it is named by its tanks
    (`T5+T7`), without any by its first node; so the name stays as long as the members do.
    """
    parent = {node_id: node_id for node_id in network.nodes}
    for link in network.links.values():
        if link.link_id not in metered:
            parent[_root(parent, link.start_node_id)] = _root(parent, link.end_node_id)
    members: dict[str, list[str]] = {}
    for node_id in network.nodes:
        members.setdefault(_root(parent, node_id), []).append(node_id)
    given = {root: _given_name(network, nodes, named or {}) for root, nodes in members.items()}
    times_given = Counter(given.values())
    names = {
        root: given[root] if given[root] and times_given[given[root]] == 1 else _name(network, nodes)
        for root, nodes in members.items()
    }
    return {node_id: names[_root(parent, node_id)] for node_id in network.nodes}


def boundaries(links: Mapping[str, Link], district_of_node: Mapping[str, str]) -> dict[str, list[tuple[str, int]]]:
    """Return each district's boundary links with the sign of their flow into it: +1 inwards, -1 outwards."""
    found: dict[str, list[tuple[str, int]]] = {}
    for link in links.values():
        start, end = district_of_node[link.start_node_id], district_of_node[link.end_node_id]
        if start != end:
            found.setdefault(start, []).append((link.link_id, -1))
            found.setdefault(end, []).append((link.link_id, +1))
    return found


def _root(parent: dict[str, str], node_id: str) -> str:
    while parent[node_id] != node_id:
        parent[node_id] = parent[parent[node_id]]
        node_id = parent[node_id]
    return node_id


def _given_name(network: Network, nodes: list[str], named: Mapping[str, str]) -> str:
    tanks = [node_id for node_id in nodes if network.nodes[node_id].kind is NodeKind.TANK]
    found = {named[tank_id] for tank_id in tanks if tank_id in named}
    return found.pop() if len(found) == 1 else ""


def _name(network: Network, nodes: list[str]) -> str:
    tanks = [node_id for node_id in nodes if network.nodes[node_id].kind is NodeKind.TANK]
    return "+".join(sorted(tanks, key=_natural)) if tanks else min(nodes, key=_natural)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that puts J9 before J10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"[0-9]+|[^0-9]+", text)]
