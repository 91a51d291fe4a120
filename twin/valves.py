"""Isolation valves of the supply network: where they are and whether they can be turned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Valve:
    """A valve on `link_id` that separates `near_node` from the link's body; shut if `normally_closed`."""

    valve_id: str
    link_id: str
    near_node: str
    operable: bool = True
    normally_closed: bool = False

    @property
    def bounds(self) -> bool:
        """Whether water can be kept on one side of it: it is shut already, or can be."""
        return self.operable or self.normally_closed
