"""Where a predicted flood may begin and when, for the operators who look at its incident."""

from __future__ import annotations

from datetime import datetime

from api.services import Services
from api.web.rendering import duration
from twin.errors import NotFoundError
from twin.forecasts import NodeFlood
from twin.incidents import Incident, IncidentKind


def flood_nodes(services: Services, incident: Incident) -> list[NodeFlood]:
    """Return what the incident's run says of the nodes it may flood, first onset first; empty for other incidents."""
    if incident.kind is not IncidentKind.FLOOD_PREDICTED or not incident.run_id:
        return []
    try:
        forecast = services.registry.run(incident.run_id).drainage
    except NotFoundError:
        return []
    concerned = frozenset(incident.node_ids)
    nodes = [node for node in forecast.nodes if node.node_id in concerned] if forecast else []
    return sorted(nodes, key=lambda node: (node.onset_median is None, node.onset_median or incident.opened_at))


def lead_in_words(node: NodeFlood, now: datetime) -> str:
    """Write how long it is until the node's median onset."""
    lead_s = node.lead_time_s(now)
    if lead_s is None:
        return "none"
    return duration(lead_s) if lead_s > 0 else "has begun"
