"""Listen on a broker without touching anybody's session: an own random client id, a clean session, QoS 0."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.connection import configure
from ingest.message import Message
from ingest.mqtt_settings import MqttSettings, Protocol
from ingest.sniff.catch import Catch
from twin.clock import Clock
from twin.errors import UnavailableError

_TURN_S = 0.2


def listen(
    broker_url: str, topic: str, *, seconds: float, clock: Clock, progress: Callable[[float, Catch], None]
) -> Catch:
    """Catch what is published on `topic` (a filter) for so many seconds; `progress` hears how many have passed.

    Raises:
        ConfigError: If the address is none.
        UnavailableError: If the broker cannot be reached, refuses us or the subscription, or goes away.
    """
    settings = replace(MqttSettings.from_url(broker_url), client_id=f"h2twin-sniff-{uuid4().hex[:12]}")
    caught, refused = Catch(), []
    mqtt5 = settings.protocol is Protocol.V5
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=settings.client_id,
        clean_session=None if mqtt5 else True,
        protocol=paho.MQTTv5 if mqtt5 else paho.MQTTv311,
        reconnect_on_failure=False,
    )
    configure(client, settings)

    def on_connect(_c: paho.Client, _u: object, _f: object, reason: ReasonCode, _p: object) -> None:
        if reason.is_failure:
            refused.append(f"refuses us: {reason}")
        else:
            client.subscribe(topic, qos=0)

    def on_subscribe(_c: paho.Client, _u: object, _i: int, reasons: list[ReasonCode], _p: object) -> None:
        if any(reason.is_failure for reason in reasons):
            refused.append(f"refuses the subscription to {topic!r}; allow it to our user")

    def on_message(_c: paho.Client, _u: object, message: paho.MQTTMessage) -> None:
        try:
            name = message.topic
        except UnicodeDecodeError:
            return
        caught.take(Message(name, bytes(message.payload), clock.now()))

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    try:
        client.connect(settings.host, settings.port, settings.keepalive_s)
        _turn(client, seconds, caught, refused, progress, settings.address)
    except OSError as error:
        raise UnavailableError(f"the broker {settings.address} cannot be reached: {error}") from error
    finally:
        client.disconnect()
        client.loop(_TURN_S)
    return caught


def _turn(
    client: paho.Client,
    seconds: float,
    caught: Catch,
    refused: list[str],
    progress: Callable[[float, Catch], None],
    address: str,
) -> None:
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        result = client.loop(min(_TURN_S, seconds - passed))
        if refused:
            raise UnavailableError(f"the broker {address} {refused[0]}")
        if result != paho.MQTT_ERR_SUCCESS:
            raise UnavailableError(f"the connection to {address} was lost: {paho.error_string(result)}")
        progress(time.monotonic() - begun, caught)
