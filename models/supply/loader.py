"""Reading a supply model from outside: vetted, read by EPANET in an engine worker, and looked at for sense.

The network is what EPANET read, and nothing else, since EPANET runs it (ADR 13).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from models.pool import EnginePool
from models.supply.districts import with_districts
from models.supply.epanet import LinkType, LinkValue, NodeType, Project, engine_version
from models.supply.facts import ModelFacts, read_facts
from models.supply.inp import vet_inp
from models.supply.intake import open_checked
from twin.network import Link, LinkKind, Network, NetworkKind, Node, NodeKind

_NODE_KINDS = {
    NodeType.JUNCTION: NodeKind.JUNCTION,
    NodeType.TANK: NodeKind.TANK,
    NodeType.RESERVOIR: NodeKind.RESERVOIR,
}
_LINK_KINDS = {LinkType.CVPIPE: LinkKind.PIPE, LinkType.PIPE: LinkKind.PIPE, LinkType.PUMP: LinkKind.PUMP}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A supply model that was read: its network (without districts), its facts and the hash of its INP."""

    network: Network
    facts: ModelFacts
    sha256: str


def load_network(inp: bytes, pool: EnginePool, *, metered: Collection[str] = ()) -> Network:
    """Return the network of an INP, with districts between the `metered` links.

    Raises:
        InputError: If the INP is refused or cannot be read; the message says why and, where known, in which line.
        ModelError: If reading crashed or took too long.
    """
    return with_districts(load_model(inp, pool).network, metered)


def load_model(inp: bytes, pool: EnginePool) -> LoadedModel:
    """Read an INP in an engine worker; errors as in `load_network`."""
    return pool.run(read_model, inp)


def read_model(inp: bytes) -> LoadedModel:
    """Read an INP in this process, which must be an engine worker."""
    with open_checked(vet_inp(inp)) as project:
        facts = read_facts(project, engine_version())
        return LoadedModel(_network(project, facts), facts, model_hash(inp))


def model_hash(inp: bytes) -> str:
    """Return what names the version of a model: the SHA-256 of its INP as it came."""
    return hashlib.sha256(inp).hexdigest()


def _network(project: Project, facts: ModelFacts) -> Network:
    length_m = project.link_values(LinkValue.LENGTH) * project.units.length_m
    diameter_m = project.link_values(LinkValue.DIAMETER) * project.units.diameter_m
    nodes = {}
    for n, (name, node_type) in enumerate(zip(facts.node_ids, facts.node_types, strict=True)):
        x, y = project.coordinates(n + 1) or (None, None)
        nodes[name] = Node(name, _NODE_KINDS[node_type], float(facts.elevation_m[n]), x, y, _area_m2(facts, name))
    links = {}
    for n, (name, link_type) in enumerate(zip(facts.link_ids, facts.link_types, strict=True)):
        kind = _LINK_KINDS.get(link_type, LinkKind.VALVE)
        links[name] = Link(
            name,
            kind,
            facts.node_ids[facts.link_start[n]],
            facts.node_ids[facts.link_end[n]],
            float(length_m[n]) if kind is LinkKind.PIPE else None,
            None if kind is LinkKind.PUMP else float(diameter_m[n]),
        )
    return Network(NetworkKind.SUPPLY, nodes, links)


def _area_m2(facts: ModelFacts, name: str) -> float | None:
    """Return the area of a tank whose volume grows evenly with its level."""
    tank = facts.tanks.get(name)
    if tank is None or len(tank.curve_level_m) != 2:
        return None
    low_m, high_m = tank.curve_level_m
    return (tank.curve_volume_m3[1] - tank.curve_volume_m3[0]) / (high_m - low_m)
