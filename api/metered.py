"""How many connections a district has, as far as anybody knows."""

from __future__ import annotations

from collections.abc import Iterable

from twin.customers import Customer
from twin.network import Network


def connections_in(district: str, network: Network | None, customers: Iterable[Customer]) -> int | None:
    """Return the number of connections at the district's nodes; None where no network says which nodes those are."""
    if network is None:
        return None
    nodes = frozenset(network.nodes_of(district))
    return len({one.connection_id for one in customers if one.node_id in nodes}) if nodes else None
