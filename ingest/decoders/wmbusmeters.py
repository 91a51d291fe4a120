"""wM-Bus and OMS meters as wmbusmeters publishes them: one JSON object a telegram, on `wmbusmeters/{id}`.

The external name of a value is `{id}/{field}`, and the field's last part names its unit (`total_m3`, `max_flow_m3h`,
`flow_temperature_c`). The time is `timestamp`, when wmbusmeters received the telegram; the meter's own clock
(`meter_datetime`) has no zone and is not read.

Where the topic template names a level `{id}`, it must be the id in the payload: write it so.

What the meter says of itself (`status`, `current_status`, `current_alarms`, `error_flags`) goes with every reading as
`device_alarm` or `device_status`, and into the events. An alarm about the water (a leak, a burst, reverse flow) is an
alarm among the events, but leaves the readings as good as they are: the register counts what leaks. Only fields that
somebody mapped make a meter known: its neighbours' telegrams are refused as empty, and nothing of them is noted.

What wmbusmeters says of itself and its receiver comes as plain text on a topic of its own (`alarmshell`): a source with
the option `alarms = true` notes it as an event. Other option (`[source.options]`): `units`, a table of field -> unit.
"""

from __future__ import annotations

from datetime import datetime

from ingest.decoders import strict_json
from ingest.decoders.base import Decoded, SourceOptions, UndecodableError
from ingest.decoders.mapped_fields import MappedFields, refuse_unknown_options
from ingest.decoders.meter_status import read_status
from ingest.decoders.senders import proper_name, require_same, sender_of_topic
from ingest.decoders.times import read_time
from twin.errors import ConfigError
from twin.events import EventKind, event

STATUS_FIELDS = ("status", "current_status", "current_alarms", "error_flags")

_UNIT_OF_SUFFIX = {
    "m3": "m3", "l": "L", "m3h": "m3/h", "lh": "L/h",
    "c": "degC", "f": "degF", "k": "K", "bar": "bar", "pa": "Pa",
    "kwh": "kWh", "kw": "kW", "w": "W",
}  # fmt: skip
_LEVEL = "id"
_LONGEST_ALARM = 500


class WmbusmetersDecoder:
    """Reads the telegrams of wmbusmeters."""

    def __init__(self, source: SourceOptions) -> None:
        refuse_unknown_options(source, frozenset({"units", "alarms"}), "wmbusmeters")
        self._are_alarms = source.options.get("alarms", False)
        if not isinstance(self._are_alarms, bool):
            raise ConfigError("wmbusmeters: alarms must be true or false")
        self._template = source.template
        self._fields = MappedFields(source, decoder="wmbusmeters", unit_of=unit_of_field)

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:
        """Return the mapped values of a telegram, with what the meter says of itself; or an alarm of the receiver."""
        if self._are_alarms:
            return _alarm(topic, payload, received_at)
        telegram = strict_json.load(payload)
        if not isinstance(telegram, dict):
            raise UndecodableError("a telegram of wmbusmeters must be a JSON object")
        levels = self._template.match(topic) or {}
        if _LEVEL in levels and "id" in telegram:
            require_same(levels[_LEVEL], telegram["id"], "the meter")
        meter = proper_name(telegram.get("id"), "the telegram's id")
        decoded = Decoded(meter, many=True)
        if not self._fields.has(meter):
            return decoded
        status = read_status({name: telegram[name] for name in STATUS_FIELDS if name in telegram})
        reasons = () if status is None else (str(status.reason),)
        self._fields.read(decoded, meter, telegram, read_time(telegram.get("timestamp")), reasons)
        if not decoded.readings and not decoded.refused:
            _explain_emptiness(telegram)
        if status is not None:
            kind = EventKind.DEVICE_ALARM if status.is_alarm else EventKind.DEVICE_STATUS
            decoded.events.append(event(kind, meter, received_at, status.text))
        return decoded


def unit_of_field(field: str) -> str:
    """Return the unit that a field's name ends with.

    Raises:
        ConfigError: If it names none that h2twin knows.
    """
    unit = _UNIT_OF_SUFFIX.get(field.rpartition("_")[2].lower())
    if unit is None:
        raise ConfigError(
            f"wmbusmeters: the field {field!r} ends with no unit that h2twin knows "
            f"(_{', _'.join(_UNIT_OF_SUFFIX)}); name one in `units`, or map another field"
        )
    return unit


def _alarm(topic: str, payload: bytes, received_at: datetime) -> Decoded:
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UndecodableError(f"an alarm of wmbusmeters must be text: {error}") from error
    if not text:
        raise UndecodableError("an alarm of wmbusmeters must say something")
    receiver = sender_of_topic(topic)
    told = event(EventKind.DEVICE_ALARM, receiver, received_at, text[:_LONGEST_ALARM])
    return Decoded(receiver, many=True, events=[told], is_news=True)


def _explain_emptiness(telegram: dict[str, object]) -> None:
    medium = telegram.get("media")
    if not isinstance(medium, str) or "water" not in medium.lower():
        raise UndecodableError(f"no mapped field is in it, and its medium is {strict_json.brief(medium)}, not water")
