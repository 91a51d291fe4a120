"""A gateway's connection to its broker: sends with QoS 1, says what was acknowledged, hears what is asked for again.

paho owns the network thread, connects anew by itself and sends again what it was given and is unacknowledged. Its
callbacks run under its own locks, so they only write down what happened; whoever owns the link reads it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.connection import configure
from ingest.mqtt_settings import MqttSettings
from twin.errors import UnavailableError

_UNSUPPORTED_PROTOCOL = "Unsupported protocol version"
_LONGEST_RETRY_S = 30


class Link:
    """One client object, used from its start to its stop.

    `window` is how many messages may be under way at once, by our wish and the broker's; its owner keeps to it.
    `acknowledged` collects packet ids, `requests` the payloads that came on `topic`; `wake` is called after either, and
    after each change of the connection. `trouble` is why nothing moves, `deaf` why nothing can be asked of us.
    """

    def __init__(
        self, settings: MqttSettings, topic: str, *, mqtt5: bool, window: int, wake: Callable[[], None]
    ) -> None:
        self.acknowledged: deque[int] = deque()
        self.requests: deque[bytes] = deque()
        self.connected = False
        self.is_too_new = False  # the broker knows only MQTT 3.1.1
        self.refused = ""  # why the broker did not take a message
        self.trouble = ""
        self.deaf = ""
        self._settings = settings
        self._topic = topic
        self._mqtt5 = mqtt5
        self.window = window
        self._wake = wake
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if mqtt5 else False,
            protocol=paho.MQTTv5 if mqtt5 else paho.MQTTv311,
        )
        configure(self._client, settings)
        self._client.max_inflight_messages_set(window)
        self._client.reconnect_delay_set(1, _LONGEST_RETRY_S)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Begin to connect; returns at once."""
        host, port, keepalive_s = self._settings.host, self._settings.port, self._settings.keepalive_s
        if self._mqtt5:
            session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            session.SessionExpiryInterval = self._settings.session_expiry_s
            self._client.connect_async(host, port, keepalive_s, clean_start=False, properties=session)
        else:
            self._client.connect_async(host, port, keepalive_s)
        self._client.loop_start()

    def stop(self) -> None:
        """Take leave of the broker; harmless when done twice."""
        self._client.disconnect()
        self._client.loop_stop()
        self.connected = False

    def send(self, topic: str, payload: bytes) -> int:
        """Hand over a message and return the id that `acknowledged` will name.

        Raises:
            UnavailableError: If it cannot be handed over.
        """
        try:
            receipt = self._client.publish(topic, payload, qos=1)
        except ValueError as error:
            raise UnavailableError(f"a message could not be handed to {self._settings.address}: {error}") from error
        if receipt.rc not in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_NO_CONN):
            raise UnavailableError(f"a message could not be handed to {self._settings.address}: {receipt.rc}")
        return receipt.mid

    def _on_connect(
        self, client: paho.Client, _data: object, _flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.trouble = f"the broker {self._settings.address} refuses us: {reason}"
            self.is_too_new = self._mqtt5 and reason.getName() == _UNSUPPORTED_PROTOCOL
        else:
            self.window = min(self.window, getattr(properties, "ReceiveMaximum", self.window))
            client.subscribe(self._topic, qos=1)
            self.trouble = ""
            self.connected = True
        self._wake()

    def _on_connect_fail(self, _client: paho.Client, _data: object) -> None:
        self.trouble = f"the broker {self._settings.address} cannot be reached"
        self._wake()

    def _on_disconnect(
        self, _client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self.connected = False
        if reason.is_failure and not self.trouble:
            self.trouble = f"the connection to {self._settings.address} was lost: {reason}"
        self._wake()

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        self.deaf = f"the broker lets nobody read {self._topic} here" if reasons and reasons[0].is_failure else ""

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self.refused = f"the broker {self._settings.address} does not take our messages: {reason}"
        else:
            self.acknowledged.append(mid)
        self._wake()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.requests.append(bytes(message.payload))
        self._wake()


class Bell:
    """Wakes one thread; rung from any, also from within paho's locks."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """Wake the thread, or keep it from falling asleep once."""
        self._event.set()

    def sleep(self, seconds: float) -> None:
        """Wait until it rings, or so long."""
        self._event.wait(seconds)
        self._event.clear()
