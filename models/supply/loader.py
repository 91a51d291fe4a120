"""Reading a supply model from outside: vetted, then read by EPANET and by WNTR in an engine worker.

WNTR is the network model; it is imported here only, and only in the worker that reads. EPANET reads first because its
complaints name the line; both must see the same network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.pool import EnginePool
from models.supply.districts import with_districts
from models.supply.epanet import Project, engine_version
from models.supply.facts import ModelFacts, read_facts
from models.supply.inp import vet_inp
from twin.errors import InputError
from twin.network import Link, LinkKind, Network, NetworkKind, Node, NodeKind

_NODE_KINDS = {"Junction": NodeKind.JUNCTION, "Tank": NodeKind.TANK, "Reservoir": NodeKind.RESERVOIR}
_LINK_KINDS = {"Pipe": LinkKind.PIPE, "Pump": LinkKind.PUMP, "Valve": LinkKind.VALVE}


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
    text = vet_inp(inp)
    with Project(text) as project:
        facts = read_facts(project, engine_version())
    return LoadedModel(_read_network(text, facts), facts, model_hash(inp))


def model_hash(inp: bytes) -> str:
    """Return what names the version of a model: the SHA-256 of its INP as it came."""
    return hashlib.sha256(inp).hexdigest()


def _read_network(text: str, facts: ModelFacts) -> Network:
    model = _wntr_model(text)
    nodes = {
        name: Node(name, _NODE_KINDS[node.node_type], _elevation_m(node), *_coordinates(node), _area_m2(facts, name))
        for name, node in model.nodes()
    }
    links = {
        name: Link(
            name,
            _LINK_KINDS[link.link_type],
            link.start_node_name,
            link.end_node_name,
            getattr(link, "length", None),
            getattr(link, "diameter", None),
        )
        for name, link in model.links()
    }
    for ours, engines in ((nodes, facts.node_ids), (links, facts.link_ids)):
        if differing := sorted(set(ours) ^ set(engines)):
            raise InputError(f"EPANET and WNTR read different networks; they differ in {', '.join(differing[:5])}")
    return Network(
        NetworkKind.SUPPLY,
        {node_id: nodes[node_id] for node_id in facts.node_ids},
        {link_id: links[link_id] for link_id in facts.link_ids},
    )


def _area_m2(facts: ModelFacts, name: str) -> float | None:
    """Return the area of a tank whose volume grows evenly with its level."""
    tank = facts.tanks.get(name)
    if tank is None or len(tank.curve_level_m) != 2:
        return None
    low_m, high_m = tank.curve_level_m
    return (tank.curve_volume_m3[1] - tank.curve_volume_m3[0]) / (high_m - low_m)


def _wntr_model(text: str) -> Any:
    import wntr

    path = Path("wntr.inp")
    path.write_text(text, encoding="utf-8")
    try:
        return wntr.network.WaterNetworkModel(str(path))
    except Exception as error:
        raise InputError(f"WNTR cannot read the INP: {_root_cause(error)}") from error


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _elevation_m(node: Any) -> float:
    return float(node.base_head if node.node_type == "Reservoir" else node.elevation)


def _coordinates(node: Any) -> tuple[float | None, float | None]:
    x, y = node.coordinates
    return (None, None) if (x, y) == (0, 0) else (float(x), float(y))
