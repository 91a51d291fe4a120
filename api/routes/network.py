"""The networks and their districts."""

from __future__ import annotations

from collections import Counter, defaultdict

from fastapi import APIRouter, Request

from api.auth import Viewer, services_of
from api.routes.query import Cursor, Limit, page_by_key
from api.schemas.base import PageOut, page_out
from api.schemas.districts import DistrictOut
from api.schemas.network import NetworkOut, network_out
from twin.errors import NotFoundError
from twin.network import NetworkKind

router = APIRouter(tags=["network"])


@router.get("/network")
def get_network(request: Request, _: Viewer, kind: NetworkKind = NetworkKind.SUPPLY) -> NetworkOut:
    """Return the nodes and links of the supply or the drainage network."""
    network = services_of(request).network(kind)
    if network is None:
        raise NotFoundError(f"no {kind} model was imported yet; h2twin import brings one in")
    return network_out(network)


@router.get("/districts")
def list_districts(request: Request, _: Viewer, limit: Limit = 100, cursor: Cursor = None) -> PageOut[DistrictOut]:
    """List the districts that the supply network or a sensor names, in order of name."""
    services = services_of(request)
    network = services.network(NetworkKind.SUPPLY)
    nodes = Counter(network.district_of_node.values() if network else ())
    sensor_ids: dict[str, list[str]] = defaultdict(list)
    for sensor in services.registry.sensors().values():
        sensor_ids[sensor.district].append(sensor.sensor_id)
    names = sorted({*nodes, *sensor_ids} - {""})
    page = page_by_key(names, lambda name: name, of="districts", limit=limit, cursor=cursor)
    return page_out(page, lambda name: DistrictOut(district=name, nodes=nodes[name], sensor_ids=sensor_ids[name]))
