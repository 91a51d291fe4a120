"""The valve layer as arrays. A valve sits at one end of a link, between the node there and the link's body.

```
node --v1-- body of the link --v2-- node          end 2l is the start of link l, end 2l + 1 its end
```
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from models.supply.connectivity import Booleans
from models.supply.epanet import LinkType
from models.supply.facts import Integers, ModelFacts
from twin.errors import InputError
from twin.valves import Valve


@dataclass(frozen=True, slots=True, eq=False)
class ValveLayer:
    """All valves: at which end of a link each sits, whether it can be turned, and whether it is shut already."""

    ids: tuple[str, ...]
    end: Integers
    operable: Booleans
    closed: Booleans
    assumed: bool

    @property
    def bounds(self) -> Booleans:
        """Which valves bound segments: the shut ones and those that can be shut."""
        return self.operable | self.closed

    @property
    def shut_links(self) -> Integers:
        """The links (by position) that a shut valve keeps from carrying water."""
        links: Integers = np.unique(self.end[self.closed] // 2)
        return links


def layer_of(
    facts: ModelFacts, valves: Sequence[Valve], *, inoperable: Collection[str] = (), closed: Collection[str] = ()
) -> ValveLayer:
    """Place valves in a network; `inoperable` and `closed` name those of which something else is known now.

    Raises:
        InputError: If a link or node is not in the network, they do not belong together, or a name is unknown.
    """
    links = {link_id: place for place, link_id in enumerate(facts.link_ids)}
    ends = []
    for valve in valves:
        link = links.get(valve.link_id)
        if link is None:
            raise InputError(f"valve {valve.valve_id!r}: the network has no link {valve.link_id!r}")
        nodes = facts.node_ids[facts.link_start[link]], facts.node_ids[facts.link_end[link]]
        if valve.near_node not in nodes:
            raise InputError(
                f"valve {valve.valve_id!r}: link {valve.link_id!r} joins {nodes[0]!r} and {nodes[1]!r}, "
                f"not {valve.near_node!r}"
            )
        ends.append(2 * link + nodes.index(valve.near_node))
    known = {valve.valve_id for valve in valves}
    return _layer(
        tuple(valve.valve_id for valve in valves),
        np.array(ends, dtype=np.int64),
        np.array([valve.operable for valve in valves], dtype=np.bool_),
        np.array([valve.normally_closed for valve in valves], dtype=np.bool_),
        inoperable,
        closed,
        known=known,
        assumed=False,
    )


def placed(facts: ModelFacts, valves: Sequence[Valve]) -> list[Valve]:
    """Return those valves that have a place in the network."""
    links = {link_id: place for place, link_id in enumerate(facts.link_ids)}
    return [
        valve
        for valve in valves
        if valve.link_id in links
        and valve.near_node
        in (
            facts.node_ids[facts.link_start[links[valve.link_id]]],
            facts.node_ids[facts.link_end[links[valve.link_id]]],
        )
    ]


def assumed_layer(facts: ModelFacts, *, inoperable: Collection[str] = (), closed: Collection[str] = ()) -> ValveLayer:
    """Return a layer where every pipe can be shut at both its ends; a valve there is called `link@node`.

    Raises:
        InputError: If a name in `inoperable` or `closed` is unknown.
    """
    pipes = [place for place, kind in enumerate(facts.link_types) if kind in (LinkType.PIPE, LinkType.CVPIPE)]
    ids = tuple(
        f"{facts.link_ids[link]}@{facts.node_ids[node]}"
        for link in pipes
        for node in (facts.link_start[link], facts.link_end[link])
    )
    ends = (2 * np.array(pipes, dtype=np.int64)[:, None] + np.arange(2)).ravel()
    return _layer(
        ids,
        ends,
        np.ones(len(ids), dtype=np.bool_),
        np.zeros(len(ids), dtype=np.bool_),
        inoperable,
        closed,
        known=ids,
        assumed=True,
    )


def _layer(
    ids: tuple[str, ...],
    ends: Integers,
    operable: Booleans,
    shut: Booleans,
    inoperable: Collection[str],
    closed: Collection[str],
    *,
    known: Collection[str],
    assumed: bool,
) -> ValveLayer:
    if inoperable or closed:
        known = set(known)
        if unknown := [valve_id for valve_id in (*inoperable, *closed) if valve_id not in known]:
            raise InputError(f"there is no valve {', '.join(map(repr, unknown))}")
        places = {valve_id: place for place, valve_id in enumerate(ids)}
        operable[[places[valve_id] for valve_id in inoperable]] = False
        shut[[places[valve_id] for valve_id in closed]] = True
    return ValveLayer(ids, ends, operable, shut, assumed)
