"""Who a predicted outage hits, how likely and between when and when, for the operators who look at its incident."""

from __future__ import annotations

from api.services import Services
from api.web.rendering import duration
from twin.errors import NotFoundError
from twin.forecasts import PredictedOutage
from twin.incidents import Incident, IncidentKind


def outages_of(services: Services, incident: Incident) -> list[PredictedOutage]:
    """Return what the incident's run says of its nodes, the likeliest first; empty for other incidents."""
    if incident.kind is not IncidentKind.OUTAGE_PREDICTED or not incident.run_id:
        return []
    try:
        forecast = services.registry.run(incident.run_id).supply
    except NotFoundError:
        return []
    found = [outage for outage in forecast.outages if outage.cause_key == incident.cause_key] if forecast else []
    return sorted(found, key=lambda outage: (-(outage.probability or 0.0), outage.starts_at, outage.node_id))


def lasting_in_words(outage: PredictedOutage) -> str:
    """Write how long an outage lasts: the span that most members have, else what the one run says."""
    if outage.probability is None:
        return (
            "beyond the horizon"
            if outage.ends_at is None
            else duration((outage.ends_at - outage.starts_at).total_seconds())
        )
    least, most = (
        "beyond the horizon" if seconds is None else duration(seconds)
        for seconds in (outage.duration_p10_s, outage.duration_p90_s)
    )
    return least if least == most else f"{least} to {most}"
