"""The network as the twin speaks of it: nodes, links and districts. How water moves in it is `models/`' business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class NodeKind(StrEnum):
    """EPANET's and SWMM's words for nodes."""

    JUNCTION = "junction"
    TANK = "tank"
    RESERVOIR = "reservoir"
    OUTFALL = "outfall"
    STORAGE = "storage"
    DIVIDER = "divider"


class LinkKind(StrEnum):
    """EPANET's and SWMM's words for links."""

    PIPE = "pipe"
    PUMP = "pump"
    VALVE = "valve"
    CONDUIT = "conduit"
    ORIFICE = "orifice"
    WEIR = "weir"
    OUTLET = "outlet"


class NetworkKind(StrEnum):
    """Which of the two networks a model describes."""

    SUPPLY = "supply"
    DRAINAGE = "drainage"


@dataclass(frozen=True, slots=True)
class Node:
    """A point of a network; `elevation_m` is the ground or invert level the model states.

    `area_m2` is the horizontal area of a tank that has the same at every level, None of all others.
    """

    node_id: str
    kind: NodeKind
    elevation_m: float
    x: float | None = None
    y: float | None = None
    area_m2: float | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a network from `start_node_id` to `end_node_id`."""

    link_id: str
    kind: LinkKind
    start_node_id: str
    end_node_id: str
    length_m: float | None = None
    diameter_m: float | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """Nodes and links by id, and which district each node lies in (drainage networks have none)."""

    kind: NetworkKind
    nodes: Mapping[str, Node]
    links: Mapping[str, Link]
    district_of_node: Mapping[str, str] = field(default_factory=dict)

    def nodes_of(self, district: str) -> list[str]:
        """Return the ids of the nodes in `district`, in the network's order."""
        return [node_id for node_id in self.nodes if self.district_of_node.get(node_id) == district]
