"""Any JSON with numbers at known places, described in the mappings file instead of in code.

Options of a source (`[source.options]`):

- `id`: who speaks: a path in the payload (`"device.eui"`), or a named level of the topic (`"{device}"`);
- `claimed_id`: a path whose text, where there is one, must be the level of the topic that `id` names (optional);
- `fields`: a table of path -> unit; an empty unit means the sensor's own;
- `time`: the path of the time, and `time_format`: iso (default), epoch_s, epoch_ms or epoch_ns. Without `time` the
  time of receipt stands in, and a message delivered twice then counts twice: state it wherever the payload has it;
- `seq`: the path of a rising number per sensor (optional);
- `items`: the path of a list of objects, each of which is read by itself (optional). `id`, `time` and `seq` are looked
  up in the item first, then in the whole message.

Paths are those of `json_places`. The external name of a value is `{id}/{path}`. The sender is the id, or the topic
where one message holds the items of several.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from ingest.decoders import strict_json
from ingest.decoders.base import LONGEST_NAME, AllNames, Decoded, RawReading, Refused, SourceOptions, UndecodableError
from ingest.decoders.json_places import ABSENT, Path, first_of
from ingest.decoders.mapped_fields import refuse_unknown_options, require_known_units
from ingest.decoders.senders import is_proper_name, require_same, sender_of_topic
from ingest.decoders.times import TimeFormat, read_time
from twin.errors import ConfigError

_OPTIONS = frozenset({"id", "claimed_id", "fields", "time", "time_format", "seq", "items"})


class JsonPathDecoder:
    """Reads the configured places of a JSON payload."""

    def __init__(self, source: SourceOptions) -> None:
        options = source.options
        refuse_unknown_options(source, _OPTIONS, "json_path")
        self._template = source.template
        self._names = source.names
        self._id_level, self._id_path = _who(options.get("id"), source)
        self._fields = _fields(options.get("fields"))
        _require_read(source.names, self._fields)
        self._zero_if_absent = frozenset(source.zero_if_absent)
        unused = sorted(self._zero_if_absent - {path.text for path, _ in self._fields})
        if unused:
            raise ConfigError(f"json_path: zero_if_absent names {unused}, which `fields` does not")
        self._time, self._seq, self._items = (_path(options, key) for key in ("time", "seq", "items"))
        self._claimed_id = _path(options, "claimed_id")
        if self._claimed_id is not None and self._id_path is not None:
            raise ConfigError("json_path: claimed_id is compared with a level of the topic: `id` must name one")
        try:
            self._time_format = TimeFormat(str(options.get("time_format", TimeFormat.ISO)))
        except ValueError as error:
            raise ConfigError(f"json_path: time_format must be one of {', '.join(TimeFormat)}") from error

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:  # noqa: ARG002 - the protocol
        """Return the values at the configured places that somebody mapped to a sensor."""
        message = strict_json.load(payload)
        levels = self._template.match(topic)
        if levels is None:
            raise UndecodableError(f"the topic does not fit {self._template.text!r}")
        decoded = Decoded(self._sender(topic, levels, message), many=True)
        for item in self._items_of(message):
            who = self._who_speaks(levels, item, message)
            for path, unit in self._fields:
                name = f"{who}/{path.text}"
                value = self._value(path, item)
                if name in self._names and value is not ABSENT:
                    self._add(decoded, name, value, unit, item, message)
        return decoded

    def _items_of(self, message: object) -> Iterator[object]:
        if self._items is None:
            yield message
            return
        items = self._items.of(message)
        if not isinstance(items, list):
            raise UndecodableError(f"there is no list at {self._items.text!r}")
        yield from items

    def _sender(self, topic: str, levels: Mapping[str, str], message: object) -> str:
        who = self._who_speaks(levels, message, message) if self._items is None else ""
        return who if is_proper_name(who) else sender_of_topic(topic)

    def _who_speaks(self, levels: Mapping[str, str], item: object, message: object) -> str:
        if self._id_path is None:
            who_by_topic = levels[self._id_level]
            claimed = ABSENT if self._claimed_id is None else first_of(self._claimed_id, item, message)
            if claimed is not ABSENT:
                require_same(who_by_topic, claimed, "the sender")
            return who_by_topic
        who = first_of(self._id_path, item, message)
        if isinstance(who, bool) or not isinstance(who, str | int):
            raise UndecodableError(f"there is no id at {self._id_path.text!r}")
        if len(str(who)) > LONGEST_NAME:
            raise UndecodableError(f"the id is longer than {LONGEST_NAME} characters")
        return str(who)

    def _value(self, path: Path, item: object) -> object:
        value = path.of(item)
        return 0 if value is ABSENT and path.text in self._zero_if_absent else value

    def _add(self, decoded: Decoded, name: str, value: object, unit: str | None, item: object, message: object) -> None:
        when = seq = None
        try:
            number = strict_json.as_finite(value)
            if self._time is not None:
                when = read_time(first_of(self._time, item, message), self._time_format)
            if self._seq is not None:
                seq = _whole(first_of(self._seq, item, message))
        except UndecodableError as error:
            fields: dict[str, object] = {"value": value}
            if self._time is not None:
                at = when.isoformat() if when else first_of(self._time, item, message)
                fields["observed_at"] = None if at is ABSENT else at
            if unit is not None:
                fields["unit"] = unit
            decoded.refused.append(Refused(name, error.reason, str(error), fields))
            return
        decoded.readings.append(RawReading(name, when, number, unit, seq))


def _who(option: object, source: SourceOptions) -> tuple[str, Path | None]:
    if not isinstance(option, str) or not option:
        raise ConfigError('json_path: `id` must be a path or a named level of the topic such as "{device}"')
    if not option.startswith("{"):
        return "", Path(option)
    level = option[1:-1]
    if not option.endswith("}") or level not in source.template.names:
        raise ConfigError(f"json_path: id {option!r} is no named level of the topic {source.template.text!r}")
    return level, None


def _fields(option: object) -> list[tuple[Path, str | None]]:
    if not isinstance(option, Mapping) or not option or not all(isinstance(unit, str) for unit in option.values()):
        raise ConfigError('json_path: `fields` must be a table of path = "unit" with at least one entry')
    require_known_units((unit for unit in option.values() if unit), "json_path")
    return [(Path(str(path)), str(unit) or None) for path, unit in option.items()]


def _require_read(names: Collection[str], fields: list[tuple[Path, str | None]]) -> None:
    """Refuse a mapped name that no field can ever have: a slip of the pen would silence a sensor."""
    if isinstance(names, AllNames):
        return
    paths = tuple(f"/{path.text}" for path, _ in fields)
    for name in sorted(names):
        if not name.endswith(paths):
            known = ", ".join(path.text for path, _ in fields)
            raise ConfigError(
                f"json_path: the external name {name!r} must read id/path; the paths in `fields`: {known}"
            )


def _path(options: Mapping[str, object], key: str) -> Path | None:
    text = options.get(key)
    if text is None:
        return None
    if not isinstance(text, str):
        raise ConfigError(f"json_path: `{key}` must be a path")
    return Path(text)


def _whole(value: object) -> int | None:
    if value is ABSENT or value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise UndecodableError(f"seq must be a whole number from 0, not {strict_json.brief(value)}")
    return value
