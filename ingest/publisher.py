"""Publishes messages and returns when the broker has acknowledged them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from uuid import uuid4

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.connection import configure
from ingest.mqtt_settings import MqttSettings, Protocol
from twin.errors import UnavailableError

_UNDER_WAY = 500
_AT_ONCE = 5_000  # far below the 65,535 packet ids there are


class Publisher:
    """A connection that publishes with QoS 1. It connects anew by itself and sends again what is unacknowledged.

    Publishing again is always safe: the ingester absorbs exact repeats. Speaks MQTT 3.1.1, which every broker knows,
    unless the address says `protocol=5`.
    """

    def __init__(self, broker_url: str, *, client_id: str | None = None, timeout_s: float = 30.0) -> None:
        self._settings = MqttSettings.from_url(
            broker_url, client_id=client_id or f"h2twin-publisher-{uuid4().hex[:12]}"
        )
        self._timeout_s = timeout_s
        self._refused = ""
        self._connected = threading.Event()
        mqtt5 = self._settings.protocol is Protocol.V5
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            protocol=paho.MQTTv5 if mqtt5 else paho.MQTTv311,
        )
        configure(self._client, self._settings)
        self._client.max_inflight_messages_set(_UNDER_WAY)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect

    def __enter__(self) -> Publisher:
        """Begin to connect; the first publish waits for it."""
        self._client.connect_async(self._settings.host, self._settings.port, self._settings.keepalive_s)
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take leave of the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish one message and return when the broker has it.

        Raises:
            UnavailableError: If the broker did not acknowledge it in time.
        """
        if self.publish_all([(topic, payload)]) < 1:
            raise UnavailableError(
                f"the broker {self._settings.address} did not acknowledge within {self._timeout_s:g} s"
                + (f": {self._refused}" if self._refused else "; is it running?")
            )

    def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> int:
        """Publish messages in order and return how many were acknowledged, waiting for all of them up to the limit.

        Those that were not may still arrive: they are sent again while this publisher lives.
        """
        end = time.monotonic() + self._timeout_s
        acknowledged = 0
        for start in range(0, len(messages), _AT_ONCE):
            acknowledged += self._publish_some(messages[start : start + _AT_ONCE], end)
        return acknowledged

    def _publish_some(self, messages: Sequence[tuple[str, bytes]], end: float) -> int:
        while not self._connected.is_set() and not self._refused and (left_s := end - time.monotonic()) > 0:
            self._connected.wait(min(left_s, 0.5))  # what paho is given before, it sends after what it is given then
        receipts = [self._client.publish(topic, payload, qos=1) for topic, payload in messages]
        for receipt in receipts:
            if receipt.rc == paho.MQTT_ERR_NO_CONN:  # paho's word for: it waits for the connection
                receipt.rc = paho.MQTT_ERR_SUCCESS
        try:
            for receipt in receipts:
                while not receipt.is_published() and not self._refused and (left_s := end - time.monotonic()) > 0:
                    receipt.wait_for_publish(min(left_s, 0.5))
            return sum(receipt.is_published() for receipt in receipts)
        except (ValueError, RuntimeError) as error:
            raise UnavailableError(f"a message could not be handed to {self._settings.address}: {error}") from error

    def _on_connect(
        self, _client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self._refused = f"it refuses us: {reason}" if reason.is_failure else ""
        if not reason.is_failure:
            self._connected.set()

    def _on_disconnect(self, *_told: object) -> None:
        self._connected.clear()
