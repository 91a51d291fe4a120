"""The network's nodes and links."""

from __future__ import annotations

from api.schemas.base import Out, example
from twin.network import LinkKind, Network, NetworkKind, NodeKind


class NodeOut(Out):
    """A point of the network."""

    node_id: str
    kind: NodeKind
    elevation_m: float
    x: float | None
    y: float | None
    district: str | None = None


class LinkOut(Out):
    """A link of the network."""

    link_id: str
    kind: LinkKind
    start_node_id: str
    end_node_id: str
    length_m: float | None
    diameter_m: float | None


class NetworkOut(Out):
    """A whole network, as the model in use has it."""

    model_config = example(
        {
            "kind": "supply",
            "nodes": [
                {"node_id": "J1", "kind": "junction", "elevation_m": 12.0, "x": 1.0, "y": 2.0, "district": "D1"},
                {"node_id": "R1", "kind": "reservoir", "elevation_m": 60.0, "x": 0.0, "y": 2.0, "district": None},
            ],
            "links": [
                {
                    "link_id": "P1",
                    "kind": "pipe",
                    "start_node_id": "R1",
                    "end_node_id": "J1",
                    "length_m": 120.5,
                    "diameter_m": 0.2,
                }
            ],
        }
    )

    kind: NetworkKind
    nodes: list[NodeOut]
    links: list[LinkOut]


def network_out(network: Network) -> NetworkOut:
    """Show a network."""
    nodes = [
        NodeOut.model_validate(node).model_copy(update={"district": network.district_of_node.get(node.node_id)})
        for node in network.nodes.values()
    ]
    return NetworkOut(
        kind=network.kind, nodes=nodes, links=[LinkOut.model_validate(link) for link in network.links.values()]
    )
