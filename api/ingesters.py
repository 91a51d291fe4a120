"""The ingesters of an installation, by their signs of life: each leaves one under a name of its own.

Where several share the messages, one that is down still holds its share of them in its session at the broker, whatever
the others say. So none may speak for another: the installation takes readings well only if all of them do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from api.settings import DEFAULT_CLIENT_ID
from twin.ports import Beat

INGEST = "ingest"
"""The role, and the name of the ingester that has the default client id."""

FORGOTTEN_AFTER = timedelta(days=7)
"""The broker keeps the session of an ingester so long (`ingest.mqtt_settings`); then nothing waits for it any more."""


def ingester_name(client_id: str) -> str:
    """Return under which name the ingester with this client id leaves its signs of life."""
    return INGEST if client_id == DEFAULT_CLIENT_ID else f"{INGEST}/{client_id}"


def is_ingester(name: str) -> bool:
    """Whether a sign of life is that of an ingester."""
    return name == INGEST or name.startswith(f"{INGEST}/")


def ingesters(beats: Mapping[str, Beat], *, now: datetime) -> list[Beat]:
    """Return the last sign of life of every ingester, in order of name, but for those taken away long ago.

    Where none is left, the newest of those speaks, so that its silence is told.
    """
    found = [beats[name] for name in sorted(beats) if is_ingester(name)]
    known = [beat for beat in found if now - beat.at <= FORGOTTEN_AFTER]
    return known or sorted(found, key=lambda beat: beat.at)[-1:]
