"""How paho's clients reach a broker: those that publish, and those that listen for a moment.

The one subscriber through which the readings come has its own receive loop (`ingest.wire`).
"""

from __future__ import annotations

from paho.mqtt import client as paho

from ingest.mqtt_settings import MqttSettings
from ingest.tls import tls_context


def configure(client: paho.Client, settings: MqttSettings) -> None:
    """Set credentials, TLS and time limits.

    Raises:
        ConfigError: If a certificate file cannot be used.
    """
    client.connect_timeout = settings.connect_timeout_s
    client.suppress_exceptions = True  # a callback that fails must not end the loop; ours log for themselves
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    context = tls_context(settings)
    if context is not None:
        client.tls_set_context(context)
