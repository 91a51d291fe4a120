"""Any JSON: guess which of its places hold values, the time, the sender and a number (the options of `json_path`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.decoders.base import Refusal, UndecodableError
from ingest.decoders.json_places import ABSENT, Path, leaves_of
from ingest.decoders.mapped_fields import number_in
from ingest.decoders.strict_json import load
from ingest.decoders.times import TimeFormat, read_time
from ingest.message import Message
from ingest.sniff.words import is_known_unit, unit_in_name
from ingest.topics import TopicTemplate

MOST_FIELDS = 200
_TIME_KEYS = (
    "observed_at", "observedat", "phenomenontime", "measured_at", "timestamp", "time", "ts", "datetime", "date_time",
    "date", "t", "created_at", "received_at",
)  # fmt: skip
_ID_KEYS = ("deveui", "dev_eui", "device_id", "deviceid", "device", "sensor_id", "sensorid", "meter_id", "meterid",
            "serial", "serial_number", "sn", "eui", "mac", "uuid", "id", "name")  # fmt: skip
_SEQ_KEYS = ("seq", "sequence", "seq_no", "seqno", "msg_no", "message_id")
_UNIT_KEYS = ("unit", "units", "uom", "unit_of_measurement", "unitofmeasurement")
_VALUE_KEYS = ("value", "val", "v", "reading", "measurement")
_EARLIEST_S, _LATEST_S = 946_684_800, 4_102_444_800  # the years 2000 to 2099
_OLDEST, _NEWEST = timedelta(days=400), timedelta(days=1)
"""How far from its receipt a value under any other key may lie to be taken for a time."""


@dataclass(frozen=True, slots=True)
class JsonGuess:
    """Options for `json_path`, and what a person should know of them."""

    options: Mapping[str, object]
    doubts: tuple[str, ...]
    needs_level: bool
    """Whether the sender must be named by the topic, because nothing in the payload does."""


def guess(messages: Sequence[Message], *, template: str) -> JsonGuess | None:
    """Return options that read these messages, or None if they are no JSON objects with numbers.

    The last named level of the topic's template, if it has one, is the sender.
    """
    read = [(message, document) for message in messages if isinstance(document := _loaded(message), dict)]
    documents = [document for _, document in read]
    if 2 * len(documents) < len(messages) or not documents:
        return None
    topics = TopicTemplate.parse(template)
    level = topics.names[-1] if topics.names else ""
    items = _items_of(documents)
    rows = documents if items is None else [item for document in documents for item in _list_at(document, items)]
    places = Counter(text for row in rows for text, _ in leaves_of(row))
    newest = max(message.received_at for message, _ in read)
    clocks = _times_by_value(rows, places, newest)
    time, time_format, doubts = _time(rows, places)
    if time is None and clocks:
        time = _nearest(rows, clocks, newest)
        time_format = clocks[time]
        doubts = (f"its time is taken to be {time!r}, because of its values",)
    who = None if level else _named(rows, places, _ID_KEYS, str | int)
    seq = _named(rows, places, _SEQ_KEYS, int)
    claimed = _claimed([((topics.match(message.topic) or {}).get(level, ""), document) for message, document in read])
    taken = {time, who, seq, claimed}
    taken |= set(clocks)
    fields = [text for text in places if text not in taken and not _is_time(text) and _is_number(rows, text)]
    if not fields:
        return None
    units = {text: _unit(rows, text) for text in fields[:MOST_FIELDS]}
    doubts += tuple(doubt for _, doubt in units.values() if doubt)
    options: dict[str, object] = {"id": who or f"{{{level or 'device'}}}"}
    if claimed is not None:
        options["claimed_id"] = claimed
    if items is not None:
        options["items"] = items
    if time is not None:
        options |= {"time": time, "time_format": str(time_format)}
    if seq is not None:
        options["seq"] = seq
    options["fields"] = {text: unit for text, (unit, _) in units.items()}
    return JsonGuess(options, doubts, needs_level=who is None)


def is_json(messages: Sequence[Message]) -> bool:
    """Whether most messages are JSON objects."""
    return 2 * sum(isinstance(_loaded(message), dict) for message in messages) > len(messages)


def _loaded(message: Message) -> object:
    try:
        return load(message.payload)
    except UndecodableError:
        return None


def _items_of(documents: Sequence[dict[str, object]]) -> str | None:
    """Return the one key under which all documents hold a list of objects."""
    keys = Counter(
        key
        for document in documents
        for key, value in document.items()
        if "." not in key and isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    )
    found = [key for key, times in keys.items() if times == len(documents)]
    return found[0] if len(found) == 1 and found[0] else None


def _list_at(document: Mapping[str, object], key: str) -> Iterable[object]:
    value = document[key]
    return value if isinstance(value, list) else ()


def _time(rows: Sequence[object], places: Iterable[str]) -> tuple[str | None, TimeFormat, tuple[str, ...]]:
    known = sorted((text for text in places if _is_time(text)), key=lambda text: _TIME_KEYS.index(_last(text)))
    naive = ""
    for text in known:
        values = [value for row in rows if (value := Path(text).of(row)) is not ABSENT]
        for form in TimeFormat:
            if all(_fits(value, form) for value in values):
                return text, form, ()
        naive = naive or (text if all(_is_naive(value) for value in values) else "")
    if naive:
        return (
            None,
            TimeFormat.ISO,
            (f"its time {naive!r} has no zone, so the time of receipt stands in: mend the sender",),
        )
    return None, TimeFormat.ISO, ("it states no time that h2twin can read; the time of receipt stands in",)


def _times_by_value(rows: Sequence[object], places: Iterable[str], newest: datetime) -> Mapping[str, TimeFormat]:
    """Return the places under any key whose values can hardly be anything but recent times."""
    found: dict[str, TimeFormat] = {}
    for text in places:
        values = [Path(text).of(row) for row in rows]
        for form in TimeFormat:
            if not _is_time(text) and all(_is_recent(value, form, newest) for value in values):
                found[text] = form
                break
    return found


def _nearest(rows: Sequence[object], clocks: Mapping[str, TimeFormat], newest: datetime) -> str:
    """Return the clock that was nearest to the receipt: the others tell of a start, a calibration, a birthday."""
    return min(clocks, key=lambda text: abs(newest - read_time(Path(text).of(rows[-1]), clocks[text])))


def _is_recent(value: object, form: TimeFormat, newest: datetime) -> bool:
    try:
        return newest - _OLDEST <= read_time(value, form) <= newest + _NEWEST
    except UndecodableError:
        return False


def _unit(rows: Sequence[object], text: str) -> tuple[str, str]:
    """Return the unit of a field (empty: none that is certain), and what a person should know of it."""
    at = _unit_beside(rows, text)
    if at is None:
        return unit_in_name(text) or "", ""
    stated = {value if isinstance(value := Path(at).of(row), str) else "" for row in rows}
    if len(stated) != 1:
        return "", f"the unit at {at!r} differs from message to message, and this decoder takes one for all"
    unit = stated.pop()
    return (unit, "") if is_known_unit(unit) else ("", f"h2twin does not know the unit {unit!r} at {at!r}")


def _unit_beside(rows: Sequence[object], text: str) -> str | None:
    """Return the place of a text that names the unit, right beside a field that is called value or so."""
    if _last(text) not in _VALUE_KEYS or text.startswith("/"):
        return None
    parent = text.rpartition(".")[0]
    beside = {place for row in rows for place, value in leaves_of(row) if isinstance(value, str)}
    return next((one for one in sorted(beside) if one.rpartition(".")[0] == parent and _last(one) in _UNIT_KEYS), None)


def _fits(value: object, form: TimeFormat) -> bool:
    try:
        moment = read_time(value, form)
    except UndecodableError:
        return False
    return _EARLIEST_S <= moment.timestamp() < _LATEST_S


def _is_naive(value: object) -> bool:
    try:
        read_time(value)
    except UndecodableError as error:
        return error.reason is Refusal.NAIVE_TIME
    return False


def _named(rows: Sequence[object], places: Iterable[str], keys: Sequence[str], kind: object) -> str | None:
    """Return the place with the first of these keys that stands in every row with a value of the kind."""
    known = sorted((text for text in places if _last(text) in keys), key=lambda text: (keys.index(_last(text)), text))
    for text in known:
        values = [Path(text).of(row) for row in rows]
        if all(isinstance(value, kind) and not isinstance(value, bool) for value in values):  # type: ignore[arg-type]
            return text
    return None


def _claimed(senders: Sequence[tuple[str, Mapping[str, object]]]) -> str | None:
    """Return the place at which every message names the sender that its topic names."""
    places = {text for _, document in senders for text, _ in leaves_of(document) if _last(text) in _ID_KEYS}
    for text in sorted(places, key=lambda text: (_ID_KEYS.index(_last(text)), text)):
        if all(level and _is_text(Path(text).of(document), level) for level, document in senders):
            return text
    return None


def _is_text(value: object, text: str) -> bool:
    return isinstance(value, str) and value.casefold() == text.casefold()


def _is_number(rows: Sequence[object], text: str) -> bool:
    values = [value for row in rows if (value := Path(text).of(row)) is not ABSENT]
    try:
        for value in values:
            number_in(value)
    except UndecodableError:
        return False
    return bool(values)


def _is_time(text: str) -> bool:
    return _last(text) in _TIME_KEYS


def _last(text: str) -> str:
    return text.replace("/", ".").rpartition(".")[2].lower()
