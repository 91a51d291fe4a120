"""Districts are what remains when the metered links are taken out."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st
from supply_networks import a_sensor

from models.supply.districts import boundaries, district_of_nodes, metered_links
from twin.network import Link, LinkKind, Network, NetworkKind, Node, NodeKind
from twin.units import Quantity


def a_network(links: list[tuple[str, str]], tanks: tuple[str, ...] = ()) -> Network:
    names = dict.fromkeys(name for pair in links for name in pair)
    return Network(
        NetworkKind.SUPPLY,
        {n: Node(n, NodeKind.TANK if n in tanks else NodeKind.JUNCTION, 0.0) for n in names},
        {f"P{i}": Link(f"P{i}", LinkKind.PIPE, a, b) for i, (a, b) in enumerate(links)},
    )


def test_a_district_is_named_by_its_tanks_else_by_its_first_node() -> None:
    network = a_network([("J10", "J9"), ("J9", "T2"), ("T2", "T10"), ("T10", "J30"), ("J30", "J4")], ("T2", "T10"))
    assert district_of_nodes(network, {"P1", "P3"}) == {
        "J10": "J9", "J9": "J9", "T2": "T2+T10", "T10": "T2+T10", "J30": "J4", "J4": "J4",
    }  # fmt: skip


def test_sensors_at_tanks_name_their_district_unless_they_disagree_or_the_name_is_taken() -> None:
    network = a_network([("T1", "A"), ("A", "T2"), ("T3", "B")], ("T1", "T2", "T3"))
    assert district_of_nodes(network, set(), {"T1": "DMA1", "T2": "DMA1", "A": "x"})["A"] == "DMA1"
    assert district_of_nodes(network, set(), {"T1": "DMA1", "T2": "DMA2"})["A"] == "T1+T2"
    assert district_of_nodes(network, set(), {"T1": "DMA1", "T3": "DMA1"}) == {
        "T1": "T1+T2", "A": "T1+T2", "T2": "T1+T2", "T3": "T3", "B": "T3",
    }  # fmt: skip


def test_parallel_links_must_all_be_metered_to_part_districts() -> None:
    network = a_network([("A", "B"), ("A", "B")])
    assert len(set(district_of_nodes(network, {"P0"}).values())) == 1
    assert len(set(district_of_nodes(network, {"P0", "P1"}).values())) == 2


def test_boundary_flow_counts_into_the_district_at_the_end() -> None:
    network = a_network([("A", "B"), ("C", "B")])
    districts = district_of_nodes(network, {"P0"})
    assert boundaries(network.links, districts) == {"A": [("P0", -1)], "B": [("P0", 1)]}


def test_only_flow_sensors_on_links_meter() -> None:
    sensors = [
        a_sensor("f", Quantity.FLOW, "P1"),
        a_sensor("s", Quantity.STATUS, "P2"),
        a_sensor("p", Quantity.PRESSURE, "J"),
    ]
    assert metered_links(sensors) == {"P1"}


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=30), st.sets(st.integers(0, 29))
)
def test_districts_are_the_components_of_networkx(pairs: list[tuple[int, int]], metered: set[int]) -> None:
    network = a_network([(f"J{a}", f"J{b}") for a, b in pairs])
    graph = nx.MultiGraph()
    graph.add_nodes_from(network.nodes)
    graph.add_edges_from(
        (link.start_node_id, link.end_node_id) for i, link in enumerate(network.links.values()) if i not in metered
    )
    found = district_of_nodes(network, {f"P{i}" for i in metered})
    for component in nx.connected_components(graph):
        assert {found[node] for node in component} <= component
        assert len({found[node] for node in component}) == 1
