"""ChirpStack v4: LoRaWAN devices through its MQTT integration, `application/{id}/device/{devEui}/event/{event}`.

Values are those that the device profile's codec put into `object`; without a codec there are only bytes, and the
message is refused with that advice. The external name of a value is `{devEui}/{path}`. Its time is the `time` of the
uplink, when a gateway received it: LoRaWAN meters rarely say when they measured. Two copies of one uplink (one
`deduplicationId`) have one time, so the second is absorbed.

Options (`[source.options]`): `units`, a table of path -> unit.

Of the other events, `status`, `join` and `log` tell of the device; they are noted where somebody mapped a field of it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeGuard

from ingest.decoders import strict_json
from ingest.decoders.base import Decoded, SourceOptions, UndecodableError
from ingest.decoders.mapped_fields import MappedFields, refuse_unknown_options
from ingest.decoders.senders import proper_name, require_same
from ingest.decoders.times import read_time
from twin.events import Event, EventKind, event

LOW_BATTERY_PERCENT = 20.0
"""Below it a battery is worth a visit. An operational convention: LoRaWAN itself has no such limit."""

_LONGEST_DETAIL = 500


class _What(StrEnum):
    """The events that ChirpStack publishes."""

    UP = "up"
    STATUS = "status"
    JOIN = "join"
    LOG = "log"
    ACK = "ack"
    TXACK = "txack"
    LOCATION = "location"
    INTEGRATION = "integration"


class ChirpStackDecoder:
    """Reads ChirpStack's events."""

    def __init__(self, source: SourceOptions) -> None:
        refuse_unknown_options(source, frozenset({"units"}), "chirpstack")
        self._fields = MappedFields(source, decoder="chirpstack")

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:
        """Return the mapped values of an uplink, or what another event tells of the device."""
        by_topic, what = _device_and_event(topic)
        message = strict_json.load(payload)
        if not isinstance(message, dict):
            raise UndecodableError("a ChirpStack event must be a JSON object")
        info = message.get("deviceInfo")
        if not isinstance(info, dict) or "devEui" not in info:
            raise UndecodableError("deviceInfo.devEui is missing; this is no event of ChirpStack v4")
        require_same(by_topic, info["devEui"], "the device")
        device = by_topic.lower()
        if what is _What.UP:
            return self._uplink(device, message)
        told = _told(what, message) if self._fields.has(device) else ""
        return Decoded(device, many=True, events=_status(device, told, received_at), is_news=True)

    def _uplink(self, device: str, message: dict[str, Any]) -> Decoded:
        values = message.get("object")
        if values is None:
            raise UndecodableError(
                "the uplink has no `object`: add a codec to the device profile in ChirpStack; h2twin reads no bytes",
                is_own_format=True,
            )
        if not isinstance(values, dict):
            raise UndecodableError(f"`object` must be a JSON object, not {strict_json.brief(values)}")
        decoded = Decoded(device, many=True)
        context = {"deduplicationId": message.get("deduplicationId")}
        self._fields.read(decoded, device, values, read_time(message.get("time")), context=context)
        return decoded


def _device_and_event(topic: str) -> tuple[str, _What]:
    levels = topic.split("/")[-4:]
    if len(levels) != 4 or levels[0] != "device" or levels[2] != "event":
        raise UndecodableError("the topic does not end with device/{devEui}/event/{event}")
    device = proper_name(levels[1], "the devEui in the topic")
    if levels[3] not in list(_What):
        raise UndecodableError(f"{strict_json.brief(levels[3])} is no event of ChirpStack v4")
    return device, _What(levels[3])


def _told(what: _What, message: dict[str, Any]) -> str:
    """Return what is worth knowing of the device, or nothing."""
    if what is _What.JOIN:
        return "joined the network (it restarted, or lost its session)"
    if what is _What.LOG and message.get("level") in ("WARNING", "ERROR"):
        return f"{message['level']} {message.get('code')}: {message.get('description')}"
    if what is _What.STATUS and message.get("externalPowerSource") is not True:
        level = message.get("batteryLevel")
        known = message.get("batteryLevelUnavailable") is not True
        if known and _is_number(level) and 0 <= level < LOW_BATTERY_PERCENT:
            return f"battery at {level} %"
    return ""


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _status(device: str, told: str, at: datetime) -> list[Event]:
    return [event(EventKind.DEVICE_STATUS, device, at, told[:_LONGEST_DETAIL])] if told else []
