"""h2twin's own format: one reading on `h2/{gateway_id}/{sensor_id}`, a batch on `h2/{gateway_id}`.

Single: `{"observed_at": "2026-01-01T00:00:00Z", "value": 3.2, "unit": "m", "seq": 17}`; `unit` and `seq` may be left
out. Batch: `{"readings": [{"sensor_id": "P-1", ...}, ...]}`. Unknown fields are ignored. A payload need not name its
gateway (`gateway_id`) or, alone, its sensor; one that names others than its topic is forged.

`h2/{gateway_id}/backfill` is no sensor's topic: there we ask gateways to send again (`ingest.backfill`), and hear our
own words, which are news and no reading.

A reading must state its time: with the time of receipt in its place, a redelivered message would count twice.

Two ways lead to the same answer. The fast one decodes straight into records; it is taken when the payload has exactly
the quotation marks that these records need, which proves that no key came twice. Everything else goes the slow way,
which keeps the good items of a batch and says what is wrong with each of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated

import msgspec

from ingest.decoders import strict_json
from ingest.decoders.base import LONGEST_NAME, Decoded, RawReading, Refusal, Refused, UndecodableError
from ingest.decoders.senders import require_same
from ingest.decoders.times import plain_iso, read_time
from twin.clock import format_time

SUBSCRIPTIONS = ("h2/+", "h2/+/+")
BACKFILL = "backfill"
"""The name that no sensor may have: its topic is for requests to the gateway."""
_PREFIX = "h2"
_LARGEST_SEQ = 2**63 - 1
_FEWEST_QUOTES = 6
"""Of an item without repeated or unknown keys: two keys and one text. Another text adds four, a number two."""


class _Item(msgspec.Struct):
    """A reading as sent."""

    observed_at: str
    value: float
    sensor_id: str | None = None
    unit: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)] | None = None
    seq: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_SEQ)] | None = None


class _Batch(msgspec.Struct):
    """A batch as sent."""

    readings: list[_Item]


_single = msgspec.json.Decoder(_Item)
_batch = msgspec.json.Decoder(_Batch)


class NativeDecoder:
    """Reads h2twin's own payloads."""

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:  # noqa: ARG002 - the protocol
        """Return the reading or readings; see the module for what is refused."""
        gateway, sensor_id = _names_in(topic)
        if sensor_id is None:
            return _decode_batch(gateway, payload)
        if sensor_id == BACKFILL:
            return Decoded(gateway, is_news=True)
        return Decoded(gateway, [_decode_single(gateway, sensor_id, payload)])


def single_topic(gateway: str, sensor_id: str) -> str:
    """Return the topic of one reading."""
    return f"{_PREFIX}/{gateway}/{sensor_id}"


def backfill_topic(gateway: str) -> str:
    """Return the topic of requests to a gateway."""
    return f"{_PREFIX}/{gateway}/{BACKFILL}"


def batch_topic(gateway: str) -> str:
    """Return the topic of a gateway's batches."""
    return f"{_PREFIX}/{gateway}"


def item_alone(gateway: str, sensor_id: str | None, item: object) -> tuple[str, bytes]:
    """Return topic and payload of one item by itself, as it can be published again: a native single message.

    Where the sensor's name is missing or cannot stand in a topic, it is a batch of one instead.
    """
    if sensor_id is None or not fits_topic(sensor_id) or not isinstance(item, Mapping):
        if sensor_id is not None and isinstance(item, Mapping):
            item = {"sensor_id": sensor_id, **item}
        return batch_topic(gateway), encode_batch([item])
    fields = {key: value for key, value in item.items() if key != "sensor_id"}
    return single_topic(gateway, sensor_id), strict_json.dump(fields)


def item_of(raw: RawReading, observed_at: datetime) -> dict[str, object]:
    """Return a raw reading as the fields of a native message."""
    fields: dict[str, object] = {"observed_at": format_time(observed_at), "value": raw.value}
    if raw.unit is not None:
        fields["unit"] = raw.unit
    if raw.seq is not None:
        fields["seq"] = raw.seq
    return fields


def fits_topic(name: str) -> bool:
    """Whether a sensor's name can stand in a topic as one level, and means the sensor there."""
    return name != BACKFILL and 0 < len(name) <= LONGEST_NAME and not any(sign in name for sign in "/+#")


def encode_batch(items: Iterable[object]) -> bytes:
    """Return items (each naming its `sensor_id`) as the payload of a batch."""
    return strict_json.dump({"readings": list(items)})


def _names_in(topic: str) -> tuple[str, str | None]:
    """Return the gateway and the sensor that a topic names; no sensor is a batch."""
    prefix, *levels = topic.split("/")
    if prefix != _PREFIX or len(levels) not in (1, 2):
        raise UndecodableError(f"{strict_json.brief(topic)} is neither h2/gateway nor h2/gateway/sensor")
    if len(topic) <= LONGEST_NAME and topic.isprintable() and "" not in levels:  # then each name is what it must be
        return levels[0], levels[1] if len(levels) == 2 else None
    names = [_checked_name(level) for level in levels]
    return names[0], names[1] if len(names) == 2 else None


def _decode_single(gateway: str, sensor_id: str, payload: bytes) -> RawReading:
    try:
        item = _single.decode(payload)
        at, unit, seq = item.observed_at, item.unit, item.seq
        quotes = _FEWEST_QUOTES + (0 if unit is None else 4) + (0 if seq is None else 2)
        if payload.count(b'"') == quotes and item.sensor_id is None:
            return RawReading(sensor_id, plain_iso(at) or read_time(at), item.value, unit, seq)
    except (strict_json.DecodeError, RecursionError, UnicodeDecodeError):
        pass  # the slow way says what is wrong
    message = strict_json.load(payload)
    _require_gateway(gateway, message)
    return _read_item(message, sensor_id)


def _decode_batch(gateway: str, payload: bytes) -> Decoded:
    try:
        items = _batch.decode(payload).readings
        if strict_json.quotes_in(payload) == 2 + sum(map(_quotes, items)):
            names = {name: _checked_name(name) for name in {item.sensor_id for item in items}}
            readings = [
                RawReading(
                    names[item.sensor_id],
                    plain_iso(item.observed_at) or read_time(item.observed_at),
                    item.value,
                    item.unit,
                    item.seq,
                )
                for item in items
            ]
            return Decoded(gateway, readings, many=True)
    except (strict_json.DecodeError, RecursionError, UnicodeDecodeError, UndecodableError):
        pass  # the slow way says what is wrong, item by item
    return _decode_batch_item_by_item(gateway, payload)


def _decode_batch_item_by_item(gateway: str, payload: bytes) -> Decoded:
    message = strict_json.load(payload)
    if not isinstance(message, dict) or not isinstance(message.get("readings"), list):
        raise UndecodableError('a batch must be an object {"readings": [...]}')
    _require_gateway(gateway, message)
    decoded = Decoded(gateway, many=True)
    for item in message["readings"]:
        try:
            _require_gateway(gateway, item)
            decoded.readings.append(_read_item(item, None))
        except UndecodableError as error:
            decoded.refused.append(Refused(_name_in(item), error.reason, str(error), item))
    return decoded


def _require_gateway(gateway: str, fields: object) -> None:
    """Return if a payload that names its gateway names that of the topic."""
    if isinstance(fields, dict) and "gateway_id" in fields:
        require_same(gateway, fields["gateway_id"], "the gateway")


def _read_item(item: object, sensor_id: str | None) -> RawReading:
    if not isinstance(item, dict):
        raise UndecodableError(f"a reading must be a JSON object, not {strict_json.brief(item)}")
    named = item.get("sensor_id")
    if sensor_id is not None and named not in (None, sensor_id):
        raise UndecodableError("the topic and the payload name different sensors", Refusal.FORGED_IDENTITY)
    name = sensor_id if sensor_id is not None else _checked_name(named)
    missing = [key for key in ("observed_at", "value") if item.get(key) is None]
    if missing:
        raise UndecodableError(f"{' and '.join(missing)} must be given")
    unit, seq = item.get("unit"), item.get("seq")
    if not isinstance(unit, str | None):
        raise UndecodableError(f"the unit must be text, not {strict_json.brief(unit)}")
    if not isinstance(seq, int | None) or isinstance(seq, bool):
        raise UndecodableError(f"seq must be a whole number, not {strict_json.brief(seq)}")
    return _reading(name, item["observed_at"], strict_json.as_finite(item["value"]), unit, seq)


def _reading(name: str, observed_at: object, value: float, unit: str | None, seq: int | None) -> RawReading:
    if seq is not None and not 0 <= seq <= _LARGEST_SEQ:
        raise UndecodableError("seq must lie between 0 and 2^63 - 1")
    if unit is not None and len(unit) > LONGEST_NAME:
        raise UndecodableError(f"the unit is longer than {LONGEST_NAME} characters")
    return RawReading(name, read_time(observed_at), value, unit, seq)


def _quotes(item: _Item) -> int:
    """Quotation marks of an item without repeated or unknown keys."""
    quotes = _FEWEST_QUOTES
    if item.sensor_id is not None:
        quotes += 4
    if item.unit is not None:
        quotes += 4
    if item.seq is not None:
        quotes += 2
    return quotes


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise UndecodableError(f"a sensor's or gateway's name must be text of 1 to {LONGEST_NAME} characters")
    if not name.isprintable():
        raise UndecodableError("a sensor's or gateway's name must be printable")
    return name


def _name_in(item: object) -> str | None:
    """Return the name of the item's sensor if it is a proper one."""
    try:
        return _checked_name(item.get("sensor_id") if isinstance(item, dict) else None)
    except UndecodableError:
        return None
