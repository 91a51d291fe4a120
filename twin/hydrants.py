"""Hydrants and valves of the supply network through which water can be let out or air in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HydrantKind(StrEnum):
    """What a hydrant is for."""

    FLUSH = "flush"
    DRAIN = "drain"
    FIRE = "fire"


@dataclass(frozen=True, slots=True)
class Hydrant:
    """A hydrant at a node of the supply network."""

    hydrant_id: str
    node_id: str
    kind: HydrantKind = HydrantKind.FIRE
