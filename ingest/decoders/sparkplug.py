"""Sparkplug B 3.0: births, data under aliases, deaths, and the request to be introduced again.

```toml
[[source]]
topic = "spBv1.0/Porto/#"
decoder = "sparkplug_b"

[source.sensors]
"Porto/RTU-001/DMA-12/inlet/flow_m3h" = "F-12"
```

External names are `{group}/{node}/{device}/{metric}`, and `{group}/{node}/{metric}` for metrics of the node itself. One
source must see all that a node and its devices send, so its topic ends in `#`. Option: `rebirth_every_s` (30), the
least time between two requests to one node.

- A unit comes from the birth's property `engUnit`; without it, it is the sensor's own.
- The property `Quality`: 0 (bad) makes a reading suspect as the device's own alarm, 500 (stale) makes its sensor stale.
- `is_historical` values are readings of their own time. `is_transient` ones are kept: who maps a metric wants it.
- A lost message (a jump in `seq`) is followed by a request for births; what can be understood meanwhile is kept. Data
  of somebody who was not introduced is a dead letter, byte for byte, and a request too.
- A death makes every mapped metric below it stale; the late death of an earlier session (another `bdSeq`) does not.
- Nodes that nobody mapped are ignored, and so are commands and the state messages of host applications.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.decoders.base import (
    LONGEST_NAME,
    AllNames,
    Command,
    Decoded,
    RawReading,
    Refusal,
    Refused,
    SourceOptions,
    UndecodableError,
)
from ingest.decoders.sparkplug_node import Definition, Definitions, EdgeNode, Key
from ingest.decoders.sparkplug_payload import Metric, Payload, read_payload, rebirth_request
from ingest.decoders.sparkplug_values import number_of
from ingest.decoders.strict_json import brief
from ingest.decoders.times import TimeFormat, read_time
from twin.errors import ConfigError
from twin.events import EventKind, event
from twin.readings import Reason

NAMESPACE = "spBv1.0"
_BIRTHS, _DATA, _DEATHS = ("NBIRTH", "DBIRTH"), ("NDATA", "DDATA"), ("NDEATH", "DDEATH")
_NOT_FOR_US = ("NCMD", "DCMD", "STATE")
_BAD, _STALE = 0, 500
_MOST_NAMES_TOLD = 5


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who sent a message: an edge node, or one of its devices (else "")."""

    group: str
    node: str
    device: str

    @property
    def of_node(self) -> tuple[str, str]:
        return (self.group, self.node)

    @property
    def of_device(self) -> tuple[str, str, str]:
        return (self.group, self.node, self.device)

    @property
    def name(self) -> str:
        """What its metrics' external names begin with."""
        return "/".join(level for level in (self.group, self.node, self.device) if level)

    @property
    def gateway(self) -> str:
        return f"{self.group}:{self.node}"


class SparkplugDecoder:
    """Reads Sparkplug B payloads and remembers what births said; ask it in order of receipt, from one thread."""

    def __init__(self, source: SourceOptions) -> None:
        if not source.template.text.endswith("#"):
            raise ConfigError(
                "sparkplug_b: the topic must end in #, such as spBv1.0/Porto/#: one source must see the births, data "
                "and deaths of nodes and of their devices"
            )
        unknown = sorted(set(source.options) - {"rebirth_every_s"})
        if unknown or source.zero_if_absent:
            raise ConfigError(f"sparkplug_b: unknown options {unknown or ['zero_if_absent']}; known: rebirth_every_s")
        every_s = source.options.get("rebirth_every_s", 30)
        if isinstance(every_s, bool) or not isinstance(every_s, int | float) or not 1 <= every_s <= 86400:
            raise ConfigError("sparkplug_b: rebirth_every_s must lie between 1 and 86400 seconds")
        self._rebirth_every = timedelta(seconds=every_s)
        nowhere = sorted(name for name in source.names if name.count("/") < 2)
        if nowhere:
            raise ConfigError(f"sparkplug_b: {nowhere} must read group/node/device/metric or group/node/metric")
        self._names = source.names
        self._reads_all = isinstance(source.names, AllNames)
        self._below_node, self._below_device = _mapped_below(source.names, 2), _mapped_below(source.names, 3)
        self._nodes: dict[tuple[str, str], EdgeNode] = defaultdict(EdgeNode)

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:
        """Return the readings of mapped metrics, and what births and deaths mean for them."""
        kind, sender = _sender_of(topic)
        decoded = Decoded(sender.gateway, many=True, is_news=True)
        if kind in _NOT_FOR_US or not (self._reads_all or sender.of_node in self._below_node):
            return decoded
        message = read_payload(payload)
        if message.is_packed:
            raise UndecodableError("the payload has an opaque body; switch compression off at the edge node")
        node = self._nodes[sender.of_node]
        if kind in _DEATHS:
            self._note_death(kind, sender, node, message, decoded, received_at)
        elif kind in _BIRTHS:
            self._note_birth(kind, sender, node, message, decoded, received_at)
        else:
            self._read_data(sender, node, message, decoded, received_at)
        return decoded

    # ---------------------------------------------------------------------------------------- births and deaths

    def _note_birth(
        self, kind: str, sender: _Sender, node: EdgeNode, message: Payload, decoded: Decoded, at: datetime
    ) -> None:
        seq = message.seq or 0
        if kind == "NBIRTH":
            node.begin(_bd_seq(message), seq)
        elif not node.follows(seq) or not node.is_born:
            decoded.commands.extend(self._request_births(sender, node, at))
        if not self._is_mapped(sender):
            return  # nobody asks for what this device says, so nothing of it is remembered
        definitions: Definitions = {}
        node.devices[sender.device] = definitions
        for metric in message.metrics:
            if metric.name is None:
                continue
            definition = self._definition(sender, metric)
            if metric.alias is not None:
                definitions[metric.alias] = definition
            if definition is not None:
                definitions[metric.name] = definition
                self._read(metric, definition, message, decoded)
        self._note_missing(sender, definitions, decoded, at)

    def _is_mapped(self, sender: _Sender) -> bool:
        """Whether somebody may have mapped a metric of the device, or of the node itself."""
        return self._reads_all or not sender.device or sender.of_device in self._below_device

    def _definition(self, sender: _Sender, metric: Metric) -> Definition | None:
        name = f"{sender.name}/{metric.name}"
        return Definition(name, metric.datatype or 0, metric.unit) if name in self._names else None

    def _note_missing(self, sender: _Sender, definitions: Definitions, decoded: Decoded, at: datetime) -> None:
        """Tell which mapped metrics a device does not have: a typing error in the mapping, or they are gone."""
        if not sender.device:
            return
        there = {definition.name for definition in definitions.values() if definition is not None}
        missing = sorted(self._below_device.get(sender.of_device, frozenset()) - there)
        if missing:
            detail = f"its birth does not name what is mapped: {_few(missing)}"
            decoded.events.append(event(EventKind.DEVICE_STATUS, sender.name, at, detail))

    def _note_death(
        self, kind: str, sender: _Sender, node: EdgeNode, message: Payload, decoded: Decoded, at: datetime
    ) -> None:
        if kind == "NDEATH":
            bd_seq = _bd_seq(message)
            if not node.is_end_of_session(bd_seq):
                return
            if bd_seq is None or (not node.is_born and node.bd_seq is None):
                decoded.commands.extend(
                    self._request_births(sender, node, at)
                )  # whose session? If it lives, it will tell
            node.end()
            names = self._below_node.get(sender.of_node, frozenset())
        else:
            if not node.follows(message.seq or 0):
                decoded.commands.extend(self._request_births(sender, node, at))
            node.devices.pop(sender.device, None)
            names = self._below_device.get(sender.of_device, frozenset())
        decoded.stale.extend(sorted(names))
        if names:
            detail = f"{kind}: the last values of {len(names)} mapped metrics are void"
            decoded.events.append(event(EventKind.SENSOR_STALE, sender.name, at, detail))

    # ----------------------------------------------------------------------------------------------------- data

    def _read_data(self, sender: _Sender, node: EdgeNode, message: Payload, decoded: Decoded, at: datetime) -> None:
        is_next = node.follows(message.seq or 0)
        definitions = node.devices.get(sender.device) if self._is_mapped(sender) else {}
        if definitions is None:
            raise UndecodableError(
                f"{sender.name} sent data before its birth (we may have been away); its births are asked for",
                commands=self._request_births(sender, node, at),
            )
        strangers = 0
        for metric in message.metrics:
            key: Key | None = metric.name if metric.name is not None else metric.alias
            if key is None:
                decoded.refused.append(_refused(None, metric, None, Refusal.UNDECODABLE, "neither name nor alias"))
            elif key in definitions:
                definition = definitions[key]
                if definition is not None:
                    self._read(metric, definition, message, decoded)
            elif self._is_mapped(sender) and (isinstance(key, int) or f"{sender.name}/{key}" in self._names):
                strangers += 1
                name = f"{sender.name}/{key}" if isinstance(key, str) else None
                detail = f"the birth of {sender.name} names no metric {key!r}; its births are asked for"
                decoded.refused.append(_refused(name, metric, None, Refusal.UNDECODABLE, detail))
        if strangers or not is_next or not node.is_born:
            decoded.commands.extend(self._request_births(sender, node, at))

    def _read(self, metric: Metric, definition: Definition, message: Payload, decoded: Decoded) -> None:
        """Make one metric a reading, or say why it is none."""
        observed_at: datetime | None = None
        time_ms = metric.timestamp_ms if metric.timestamp_ms is not None else message.timestamp_ms
        try:
            if time_ms is not None:
                observed_at = read_time(time_ms, TimeFormat.EPOCH_MS)
            if metric.datatype not in (None, 0, definition.datatype):
                raise UndecodableError(f"the birth says datatype {definition.datatype}, the data {metric.datatype}")
            if metric.quality == _STALE:
                decoded.stale.append(definition.name)
                raise UndecodableError("the sender says that the value is stale (Quality 500)", Refusal.EMPTY)
            value = number_of(metric, definition.datatype)
        except UndecodableError as error:
            decoded.refused.append(_refused(definition.name, metric, observed_at, error.reason, str(error)))
            return
        reasons = [Reason.HISTORICAL] if metric.is_historical else []
        if metric.quality == _BAD:
            reasons.append(Reason.DEVICE_ALARM)
        unit = metric.unit or definition.unit
        decoded.readings.append(RawReading(definition.name, observed_at, value, unit, reasons=tuple(reasons)))

    def _request_births(self, sender: _Sender, node: EdgeNode, at: datetime) -> list[Command]:
        if not node.may_be_asked(at, every=self._rebirth_every):
            return []
        return [Command(f"{NAMESPACE}/{sender.group}/NCMD/{sender.node}", rebirth_request(at))]


def _sender_of(topic: str) -> tuple[str, _Sender]:
    levels = topic.split("/")
    if levels[0] != NAMESPACE or len(levels) not in (3, 4, 5):
        raise UndecodableError(f"{brief(topic)} is no Sparkplug B topic")
    if levels[1] == "STATE":
        return "STATE", _Sender("STATE", levels[2], "")
    kind = levels[2]
    expected = 5 if kind.startswith("D") else 4
    if kind not in (*_BIRTHS, *_DATA, *_DEATHS, *_NOT_FOR_US) or len(levels) != expected:
        raise UndecodableError(f"{brief(topic)} is no Sparkplug B topic")
    names = levels[1], levels[3], *levels[4:]
    if not all(name and name.isprintable() for name in names) or sum(map(len, names)) >= LONGEST_NAME:
        raise UndecodableError(f"{brief(topic)}: group, node and device must have short, printable names")
    return kind, _Sender(levels[1], levels[3], levels[4] if len(levels) == 5 else "")


def _mapped_below(names: Iterable[str], depth: int) -> Mapping[tuple[str, ...], frozenset[str]]:
    """Return the mapped names that share their first levels: 2 make a node, 3 a device."""
    below: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name in names:
        levels = name.split("/")
        if len(levels) > depth:
            below[tuple(levels[:depth])].add(name)
    return {levels: frozenset(found) for levels, found in below.items()}


def _bd_seq(message: Payload) -> int | None:
    for metric in message.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int):
            return metric.value
    return None


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES_TOLD} more" if len(names) > _MOST_NAMES_TOLD else ""
    return ", ".join(names[:_MOST_NAMES_TOLD]) + more


def _refused(name: str | None, metric: Metric, observed_at: datetime | None, reason: Refusal, detail: str) -> Refused:
    """Return a metric that cannot be a reading, with its fields as sent.

    Its letter has no field `value`: out of its context (unit, datatype) it must not become a reading by requeuing.
    """
    item: dict[str, object] = {"observed_at": observed_at.isoformat() if observed_at else metric.timestamp_ms}
    item |= {"value_sent": metric.value, "name": metric.name, "alias": metric.alias, "datatype": metric.datatype}
    return Refused(name, reason, detail, {key: value for key, value in item.items() if value is not None})
