"""What is wrong with the layers of a network, by kind: what must be mended, and what a person may accept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from models.supply.gis.features import Point


class ProblemKind(StrEnum):
    """One kind of problem."""

    MISSING_VALUE = "missing_value"
    BAD_VALUE = "bad_value"
    BAD_GEOMETRY = "bad_geometry"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_NODE = "unknown_node"
    UNCONNECTED_END = "unconnected_end"
    UNCONNECTED_NODE = "unconnected_node"
    LOOP = "loop"
    ZERO_LENGTH = "zero_length"
    END_ELSEWHERE = "end_elsewhere"
    LENGTH_DIFFERS = "length_differs"
    COINCIDENT_NODES = "coincident_nodes"
    NODE_ON_PIPE = "node_on_pipe"
    CROSSING = "crossing"
    ISLAND = "island"


ACCEPTABLE = frozenset(
    {
        ProblemKind.END_ELSEWHERE,
        ProblemKind.LENGTH_DIFFERS,
        ProblemKind.COINCIDENT_NODES,
        ProblemKind.NODE_ON_PIPE,
        ProblemKind.CROSSING,
        ProblemKind.ISLAND,
    }
)
"""What may be meant as it is drawn (pipes cross at different depths). All else leaves no network to be written."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem: its kind, the layer and id concerned, where (in the layers' coordinates), and in words."""

    kind: ProblemKind
    layer: str
    element_id: str
    at: Point | None
    text: str
