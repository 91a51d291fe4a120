"""OGC SensorThings 1.1 Observations over MQTT: `v1.1/Datastreams(n)/Observations`.

The external name is the Datastream as the topic names it, `Datastreams(5)` or `Datastreams('pump')`. On the topic of
all Observations (`v1.1/Observations`) it is made of the `@iot.id` of the expanded Datastream. The time is
`phenomenonTime`: an instant, or the end of an interval, when the value had become true. Without one the server stamps
it on arrival, and so do we: an Observation delivered twice then counts twice.

Observations carry no unit. `[source.options]` may hold `units`, a table of external name -> unit; where it names
none, the expanded Datastream's `unitOfMeasurement.symbol` counts, and where there is none, the sensor's own unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from ingest.decoders import strict_json
from ingest.decoders.base import LONGEST_NAME, Decoded, RawReading, Refused, SourceOptions, UndecodableError
from ingest.decoders.mapped_fields import number_in, refuse_unknown_options, require_known_units
from ingest.decoders.senders import proper_name, require_same
from ingest.decoders.times import read_time
from twin.clock import format_time
from twin.errors import ConfigError

_DATASTREAM = re.compile(r"Datastreams\([^()/]+\)")
_TOPIC = re.compile(r"(?:.*/)?([^/?]+)/Observations(?:\?.*)?", re.DOTALL)
"""What FROST adds after a question mark only selects."""


class SensorThingsDecoder:
    """Reads Observations."""

    def __init__(self, source: SourceOptions) -> None:
        refuse_unknown_options(source, frozenset({"units"}), "sensorthings")
        if source.zero_if_absent:
            raise ConfigError("sensorthings: zero_if_absent has no meaning here; an Observation is one result")
        unlike = sorted(name for name in source.names if _DATASTREAM.fullmatch(name) is None)
        if unlike:
            raise ConfigError(f"sensorthings: the external names {unlike} must read Datastreams(id)")
        units = source.options.get("units", {})
        if not isinstance(units, Mapping) or not all(isinstance(unit, str) and unit for unit in units.values()):
            raise ConfigError('sensorthings: `units` must be a table of "Datastreams(id)" = "unit"')
        require_known_units(units.values(), "sensorthings")
        unused = sorted(set(units) - source.names)
        if unused:
            raise ConfigError(f"sensorthings: units names {unused}, which [source.sensors] does not")
        self._names = source.names
        self._units: Mapping[str, str] = units

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:  # noqa: ARG002 - the protocol
        """Return the Observation if its Datastream is mapped."""
        by_topic = _datastream_of_topic(topic)
        observation = strict_json.load(payload)
        if not isinstance(observation, dict):
            raise UndecodableError("an Observation must be a JSON object")
        by_payload = _datastream_of(observation)
        if by_topic is not None and by_payload is not None:
            require_same(by_topic, by_payload, "the Datastream")
        name = by_topic or by_payload
        if name is None:
            raise UndecodableError(
                "neither topic nor payload name the Datastream; subscribe to Datastreams(n)/Observations"
            )
        decoded = Decoded(proper_name(name, "the Datastream"), many=True)
        if name in self._names:
            self._add(decoded, name, observation)
        return decoded

    def _add(self, decoded: Decoded, name: str, observation: dict[str, object]) -> None:
        if "result" not in observation:
            raise UndecodableError("the Observation has no result")
        unit = self._units.get(name) or _unit_of(observation)
        when: datetime | None = None
        try:
            when = _phenomenon_time(observation.get("phenomenonTime"))
            number = number_in(observation["result"])
        except UndecodableError as error:
            at = observation.get("phenomenonTime") if when is None else format_time(when)
            item = {"observed_at": at, "value": observation["result"], **({} if unit is None else {"unit": unit})}
            decoded.refused.append(Refused(name, error.reason, str(error), item))
            return
        decoded.readings.append(RawReading(name, when, number, unit))


def _datastream_of_topic(topic: str) -> str | None:
    found = _TOPIC.fullmatch(topic)
    if found is None:
        raise UndecodableError("the topic does not end with Datastreams(n)/Observations or v1.1/Observations")
    return found[1] if _DATASTREAM.fullmatch(found[1]) else None


def _datastream_of(observation: dict[str, object]) -> str | None:
    """Return the Datastream that the payload names, as a topic would."""
    expanded = observation.get("Datastream")
    named = expanded.get("@iot.id") if isinstance(expanded, dict) else None
    if named is None:
        return None
    if isinstance(named, bool) or not isinstance(named, int | str) or len(str(named)) > LONGEST_NAME:
        raise UndecodableError(f"the Datastream's @iot.id must be a number or text, not {strict_json.brief(named)}")
    return f"Datastreams({named})" if isinstance(named, int) else f"Datastreams('{named}')"


def _unit_of(observation: dict[str, object]) -> str | None:
    expanded = observation.get("Datastream")
    unit = expanded.get("unitOfMeasurement") if isinstance(expanded, dict) else None
    symbol = unit.get("symbol") if isinstance(unit, dict) else None
    return symbol if isinstance(symbol, str) and 0 < len(symbol) <= LONGEST_NAME else None


def _phenomenon_time(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UndecodableError(f"phenomenonTime must be text, not {strict_json.brief(value)}")
    start, slash, end = value.partition("/")
    moment = read_time(end if slash else start)
    if slash and read_time(start) > moment:
        raise UndecodableError(f"phenomenonTime {strict_json.brief(value)} ends before it begins")
    return moment
