"""The Things Stack v3: LoRaWAN devices, `v3/{application}@{tenant}/devices/{device_id}/up` (open source: no @tenant).

Values are those that the payload formatter put into `decoded_payload`; without one there are only bytes, and the
message is refused with that advice. The external name of a value is `{device_id}/{path}`. What is 0, false or empty
is *omitted* by The Things Stack: list the paths for which that is so in `zero_if_absent`, else a flow of 0 simply is
not there. A device that also sends uplinks of another kind (its battery once a day, on another port) must not be read
as a flow of 0 in these: name the ports of the measurements in `zero_ports`.

The time is the gateway's (`settings.time`) where it is within a minute of the network server's `received_at`, else the
latter: many gateways have no clock to speak of. A simulated uplink is refused: nobody measured it.

Options (`[source.options]`): `units`, a table of path -> unit; `zero_ports`, a list of f_ports.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ingest.decoders import strict_json
from ingest.decoders.base import Decoded, SourceOptions, UndecodableError
from ingest.decoders.mapped_fields import MappedFields, refuse_unknown_options
from ingest.decoders.senders import proper_name, require_same
from ingest.decoders.times import read_time
from twin.errors import ConfigError
from twin.events import EventKind, event

BELIEVED_CLOCK = timedelta(minutes=1)

_NEWS = frozenset({"join", "down", "service", "location"})
_LONGEST_DETAIL = 500


class TtsDecoder:
    """Reads the messages of The Things Stack."""

    def __init__(self, source: SourceOptions) -> None:
        refuse_unknown_options(source, frozenset({"units", "zero_ports"}), "tts")
        self._zero_ports = _zero_ports(source)
        self._fields = MappedFields(source, decoder="tts")

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:
        """Return the mapped values of an uplink; joins, downlinks and the like are news."""
        application, by_topic, what = _levels(topic)
        message = strict_json.load(payload)
        if not isinstance(message, dict):
            raise UndecodableError("a message of The Things Stack must be a JSON object")
        ids = message.get("end_device_ids")
        if not isinstance(ids, dict) or "device_id" not in ids:
            raise UndecodableError("end_device_ids.device_id is missing; this is no message of The Things Stack v3")
        require_same(by_topic, ids["device_id"], "the device")
        named = ids.get("application_ids")
        if isinstance(named, dict) and "application_id" in named:
            require_same(application, named["application_id"], "the application")
        if what == "up":
            return self._uplink(by_topic, message, received_at)
        told = [event(EventKind.DEVICE_STATUS, by_topic, received_at, "joined the network")] if what == "join" else []
        return Decoded(by_topic, many=True, events=told if self._fields.has(by_topic) else [], is_news=True)

    def _uplink(self, device: str, message: dict[str, Any], received_at: datetime) -> Decoded:
        uplink = message.get("uplink_message")
        if not isinstance(uplink, dict):
            raise UndecodableError("the message has no uplink_message")
        if message.get("simulated") or uplink.get("simulated"):
            raise UndecodableError("the uplink is simulated: nobody measured it", is_own_format=True)
        values = uplink.get("decoded_payload")
        if not isinstance(values, dict):
            raise UndecodableError(
                "the uplink has no decoded_payload: add a payload formatter in The Things Stack; bytes are not read",
                is_own_format=True,
            )
        warnings = uplink.get("decoded_payload_warnings")
        decoded = Decoded(device, many=True)
        if warnings and self._fields.has(device):
            told = f"the payload formatter warns: {strict_json.brief(warnings)}"
            decoded.events.append(event(EventKind.DEVICE_STATUS, device, received_at, told[:_LONGEST_DETAIL]))
        zeros = self._zero_ports is None or uplink.get("f_port") in self._zero_ports
        self._fields.read(decoded, device, values, _time(message, uplink), zeros=zeros)
        return decoded


def _zero_ports(source: SourceOptions) -> frozenset[int] | None:
    ports = source.options.get("zero_ports")
    if ports is None:
        return None
    is_list = isinstance(ports, list) and all(type(port) is int and 1 <= port <= 255 for port in ports)
    if not isinstance(ports, list) or not is_list or not ports or not source.zero_if_absent:
        raise ConfigError("tts: zero_ports must be a list of f_ports (1 to 255), beside a zero_if_absent")
    return frozenset(ports)


def _levels(topic: str) -> tuple[str, str, str]:
    """Return the application without its tenant, the device, and what the message is about."""
    levels = topic.split("/")
    if len(levels) < 5 or levels[0] != "v3" or levels[2] != "devices":
        raise UndecodableError("the topic does not read v3/{application}@{tenant}/devices/{device_id}/up")
    what = levels[4]
    if not (what == "up" and len(levels) == 5) and what not in _NEWS:
        raise UndecodableError(f"{strict_json.brief(what)} is no message of The Things Stack v3")
    return levels[1].partition("@")[0], proper_name(levels[3], "the device_id in the topic"), what


def _time(message: dict[str, Any], uplink: dict[str, Any]) -> datetime:
    received = read_time(uplink["received_at"] if "received_at" in uplink else message.get("received_at"))
    settings = uplink.get("settings")
    if not isinstance(settings, dict) or "time" not in settings:
        return received
    try:
        by_gateway = read_time(settings["time"])
    except UndecodableError:  # a clock that is not set; the network server's is
        return received
    return by_gateway if abs(by_gateway - received) <= BELIEVED_CLOCK else received
