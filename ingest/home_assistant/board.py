"""Retained messages on a broker: set what they should be, and only what differs is published.

Speaks MQTT 3.1.1, which every broker knows. A will says `offline` for us when we are gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from uuid import uuid4

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.connection import configure
from ingest.mqtt_settings import MqttSettings
from twin.errors import UnavailableError

_PATIENCE_S = 10.0


class Board:
    """Our retained messages. `there` are those of the filter that the broker already holds, kept up to date."""

    def __init__(self, broker_url: str, *, watched: str, status_topic: str, online: bytes, offline: bytes) -> None:
        client_id = f"h2twin-home-assistant-{uuid4().hex[:12]}"
        self._settings = replace(MqttSettings.from_url(broker_url), client_id=client_id)
        self._watched = watched
        self._status = (status_topic, online, offline)
        self._lock = threading.Lock()
        self._sent: dict[str, bytes] = {}
        self._there: dict[str, bytes] = {}
        self._refused = ""
        self._ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, protocol=paho.MQTTv311
        )
        configure(self._client, self._settings)
        self._client.reconnect_delay_set(1, 30)
        self._client.will_set(status_topic, offline, qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_disconnect = self._on_disconnect

    def __enter__(self) -> Board:
        """Begin to connect."""
        self._client.connect_async(self._settings.host, self._settings.port, self._settings.keepalive_s)
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say that we are gone, and go."""
        if self._ready.is_set():
            receipt = self._client.publish(self._status[0], self._status[2], qos=1, retain=True)
            if receipt.rc == paho.MQTT_ERR_SUCCESS:
                receipt.wait_for_publish(_PATIENCE_S)
        self._client.disconnect()
        self._client.loop_stop()

    def wait_ready(self, patience_s: float = _PATIENCE_S) -> None:
        """Return when the broker takes messages.

        Raises:
            UnavailableError: If it does not, with the reason it gave.
        """
        if not self._ready.wait(patience_s):
            raise UnavailableError(
                f"the broker {self._settings.address} takes nothing from us: {self._refused or 'it does not answer'}"
            )

    @property
    def there(self) -> frozenset[str]:
        """The watched topics that hold a message on the broker."""
        with self._lock:
            return frozenset(self._there)

    def show(self, topic: str, payload: bytes) -> bool:
        """Let a topic hold `payload` (empty: nothing); return whether that took a message."""
        with self._lock:
            if self._sent.get(topic, self._there.get(topic)) == payload:
                return False
            self._sent[topic] = payload
            if not payload:
                self._there.pop(topic, None)
        self._client.publish(topic, payload, qos=1, retain=True)
        return True

    def clear(self, topics: Iterable[str]) -> None:
        """Let topics hold nothing, and return when the broker has it so, or after a patience."""
        receipts = [self._client.publish(topic, b"", qos=1, retain=True) for topic in topics]
        for receipt in receipts:
            if receipt.rc == paho.MQTT_ERR_SUCCESS:
                receipt.wait_for_publish(_PATIENCE_S)

    def _on_connect(self, client: paho.Client, _d: object, _f: object, reason: ReasonCode, _p: object) -> None:
        if reason.is_failure:
            self._refused = str(reason)
            return
        with self._lock:
            self._sent.clear()  # a broker that was restarted may have forgotten everything
            self._there.clear()
        client.subscribe(self._watched, qos=1)
        client.publish(self._status[0], self._status[1], qos=1, retain=True)

    def _on_subscribe(self, _client: paho.Client, _d: object, _id: int, reasons: list[ReasonCode], _p: object) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refused = f"it refuses the subscription to {self._watched}; allow it to our user"
            return
        self._refused = ""
        self._ready.set()

    def _on_disconnect(self, _c: paho.Client, _d: object, _f: object, _r: ReasonCode, _p: object) -> None:
        self._ready.clear()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        with self._lock:
            if message.payload:
                self._there[message.topic] = bytes(message.payload)
            else:
                self._there.pop(message.topic, None)
