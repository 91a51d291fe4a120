"""The TLS of a connection to a broker."""

from __future__ import annotations

import ssl

from ingest.mqtt_settings import MqttSettings
from twin.errors import ConfigError


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return what verifies the broker, and shows it our certificate where there is one; None without TLS.

    Raises:
        ConfigError: If a certificate file cannot be used.
    """
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=None if settings.ca_file is None else str(settings.ca_file))
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the TLS files of {settings.address} cannot be used: {error}") from error
    return context
