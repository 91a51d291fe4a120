"""Isolation valves of the supply network: where they are and whether they can be turned."""

from __future__ import annotations

from dataclasses import dataclass

from twin.errors import InputError
from twin.network import Network


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


def require_place(valve: Valve, network: Network) -> None:
    """Return if a valve's link and node are in the supply network and belong together.

    Raises:
        InputError: If not; it names valve, link and node.
    """
    link = network.links.get(valve.link_id)
    if link is None:
        raise InputError(f"valve {valve.valve_id!r}: the network has no link {valve.link_id!r}")
    if valve.near_node not in (link.start_node_id, link.end_node_id):
        raise InputError(
            f"valve {valve.valve_id!r}: link {valve.link_id!r} joins {link.start_node_id!r} and {link.end_node_id!r}, "
            f"not {valve.near_node!r}"
        )
