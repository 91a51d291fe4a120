"""Nobody speaks for another: what a forged name is called, and which gateway may send for a sensor.

That topic and payload name the same sender is the decoders' part (`ingest.decoders.senders`): they alone know both.
That a topic is written only by the one it names is the broker's part (docker/mosquitto/acl). Here stands what only
the registry knows.
"""

from __future__ import annotations

from datetime import datetime

from ingest.letters import FILES
from twin.events import Event, EventKind, event
from twin.readings import Sensor


def forged(topic: str, at: datetime, detail: str) -> Event:
    """Return the security event of a message or reading under another's name."""
    return event(EventKind.FORGED_IDENTITY, topic, at, detail)


def why_not_for(gateway: str, sensor: Sensor) -> str | None:
    """Return why a gateway may not send for a sensor, or None.

    Rows of files that were dead letters come back under `import`, a name that the broker gives to no device.
    """
    if not sensor.gateway_id or gateway in (sensor.gateway_id, FILES):
        return None
    return f"gateway {gateway!r} sends for {sensor.sensor_id!r}, which belongs to gateway {sensor.gateway_id!r}"
