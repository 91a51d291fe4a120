"""The sources of readings: h2twin's own topics always, and those that a mappings file (`TWIN_MAPPINGS`) adds.

```toml
[[source]]
topic = "plant/{device}/data"
decoder = "json_path"
zero_if_absent = ["rain"]

[source.options]
id = "{device}"
time = "ts"
time_format = "epoch_ms"
fields = { "pressure" = "bar", "rain" = "mm" }

[source.sensors]
"pump-house/pressure" = "P-1"
"roof/rain" = "R-1"
```
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingest.decoders.base import Decoder, SourceOptions
from ingest.decoders.catalog import decoder_named
from ingest.decoders.native import NativeDecoder
from ingest.decoders.sparkplug import SparkplugDecoder
from ingest.topics import TopicTemplate
from twin.errors import ConfigError

_KEYS = frozenset({"topic", "decoder", "zero_if_absent", "sensors", "options"})


@dataclass(frozen=True)
class Source:
    """Topics, the decoder of what comes on them, and which sensor each external name is (None: it is the sensor)."""

    template: TopicTemplate
    decoder: Decoder
    sensors: Mapping[str, str] | None = None

    def sensor_id(self, name: str) -> str | None:
        """Return the sensor an external name stands for; None where nobody mapped it."""
        return name if self.sensors is None else self.sensors.get(name)


def native_sources() -> tuple[Source, ...]:
    """Return the sources of h2twin's own format."""
    decoder = NativeDecoder()
    return tuple(Source(TopicTemplate.parse(topic), decoder) for topic in ("h2/{gateway}", "h2/{gateway}/{sensor}"))


def load_mappings(path: Path | None) -> tuple[Source, ...]:
    """Return h2twin's own sources and those of the file.

    Raises:
        ConfigError: If the file cannot be read, is no TOML, or says something nobody understands.
    """
    if path is None:
        return native_sources()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the mappings file {path}: {error}") from error
    return native_sources() + parse_mappings(text)


def parse_mappings(text: str) -> tuple[Source, ...]:
    """Return the sources that the text of a mappings file describes; errors as in `load_mappings`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the mappings file is no TOML: {error}") from error
    unknown = sorted(set(document) - {"source"})
    tables = document.get("source", [])
    if unknown or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"the mappings file holds [[source]] tables and nothing else; found {unknown or 'source'}")
    sources = tuple(_source(number, table) for number, table in enumerate(tables, start=1))
    taken = {source.template.subscription for source in native_sources()}
    for source in sources:
        if source.template.subscription in taken:
            raise ConfigError(f"topic {source.template.text!r} has a source already; one source may map many sensors")
        taken.add(source.template.subscription)
    return sources


def require_shareable(sources: Iterable[Source]) -> None:
    """Return if several ingesters may share the messages of these sources.

    Raises:
        ConfigError: If a decoder must see all that a sender sends, in order: of Sparkplug one would get the births and
            another the data, which it could not understand.
    """
    for source in sources:
        if isinstance(source.decoder, SparkplugDecoder):
            raise ConfigError(
                f"TWIN_INGEST_SHARE: {source.template.text!r} is Sparkplug, whose messages cannot be shared; leave it "
                "out of this group's mappings file, and give it an ingester of its own without TWIN_INGEST_SHARE"
            )


def _source(number: int, table: Mapping[str, object]) -> Source:
    where = f"source {number}"
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise ConfigError(f"{where}: unknown keys {unknown}; known: {', '.join(sorted(_KEYS))}")
    topic, decoder = table.get("topic"), table.get("decoder")
    if not isinstance(topic, str) or not isinstance(decoder, str):
        raise ConfigError(f"{where}: topic and decoder must both be given as text")
    sensors = table.get("sensors", {})
    if not isinstance(sensors, dict) or not sensors or not all(isinstance(s, str) and s for s in sensors.values()):
        raise ConfigError(f'{where}: [source.sensors] must map at least one "external name" = "sensor_id"')
    zero_if_absent = table.get("zero_if_absent", [])
    if not isinstance(zero_if_absent, list) or not all(isinstance(path, str) for path in zero_if_absent):
        raise ConfigError(f"{where}: zero_if_absent must be a list of field paths")
    options = table.get("options", {})
    if not isinstance(options, dict):
        raise ConfigError(f"{where}: [source.options] must be a table")
    template = TopicTemplate.parse(topic)
    settings = SourceOptions(template, frozenset(sensors), tuple(zero_if_absent), options)
    try:
        return Source(template, decoder_named(decoder)(settings), sensors)
    except ConfigError as error:
        raise ConfigError(f"{where} ({topic}): {error}") from error
