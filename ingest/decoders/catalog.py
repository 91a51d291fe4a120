"""The decoders by the name they have in a mappings file. Other packages add theirs by an entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from ingest.decoders.base import Decoder, SourceOptions
from ingest.decoders.chirpstack import ChirpStackDecoder
from ingest.decoders.json_path import JsonPathDecoder
from ingest.decoders.senml import SenmlDecoder
from ingest.decoders.sensorthings import SensorThingsDecoder
from ingest.decoders.sparkplug import SparkplugDecoder
from ingest.decoders.tts import TtsDecoder
from ingest.decoders.wmbusmeters import WmbusmetersDecoder
from twin.errors import ConfigError

DecoderFactory = Callable[[SourceOptions], Decoder]

ENTRY_POINTS = "h2twin.decoders"
BUILT_IN: dict[str, DecoderFactory] = {
    "chirpstack": ChirpStackDecoder,
    "json_path": JsonPathDecoder,
    "senml": SenmlDecoder,
    "sensorthings": SensorThingsDecoder,
    "sparkplug_b": SparkplugDecoder,
    "tts": TtsDecoder,
    "wmbusmeters": WmbusmetersDecoder,
}


def decoder_names() -> tuple[str, ...]:
    """Return the names of all decoders there are, in order."""
    return tuple(sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))}))


def decoder_named(name: str) -> DecoderFactory:
    """Return what makes the decoder called `name`: a built-in one first, then one that an installed package offers.

    Raises:
        ConfigError: If nobody offers it, or two packages do (the message lists what there is), or it cannot be loaded.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    offered = entry_points(group=ENTRY_POINTS)
    found = [point for point in offered if point.name == name]
    if len(found) != 1:
        known = ", ".join(decoder_names())
        how_many = "no" if not found else "more than one"
        raise ConfigError(f"there is {how_many} decoder {name!r}; known decoders: {known}")
    try:
        factory: DecoderFactory = found[0].load()
    except Exception as error:  # another package may raise anything
        raise ConfigError(f"the decoder {name!r} ({found[0].value}) cannot be loaded: {error}") from error
    return factory
