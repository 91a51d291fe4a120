"""Decoders that installed packages offer by an entry point, beside the built-in ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.decoders.catalog import BUILT_IN, decoder_named, decoder_names
from ingest.decoders.senml import SenmlDecoder
from ingest.mappings import parse_mappings
from twin.errors import ConfigError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODULE = """
from ingest.decoders.base import Decoded, RawReading

class PlainDecoder:
    def __init__(self, source):
        self._names = source.names

    def decode(self, topic, payload, received_at):
        name = topic.rpartition("/")[2]
        return Decoded(name, [RawReading(name, received_at, float(payload))])
"""
MAPPING = """
[[source]]
topic = "raw/+"
decoder = "plain"
[source.sensors]
"pump" = "P-1"
"""


def install(folder: Path, package: str, offers: str) -> None:
    """Put a package's metadata where Python looks for installed packages."""
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[h2twin.decoders]\n{offers}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "plain_decoder_of_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_decoder_of_another_package_is_used_as_the_built_in_ones_are(site: Path) -> None:
    install(site, "waterworks", "plain = plain_decoder_of_a_test:PlainDecoder")
    assert set(decoder_names()) == {*BUILT_IN, "plain"}
    [source] = parse_mappings(MAPPING)
    [reading] = source.decoder.decode("raw/pump", b"3.5", NOW).readings
    assert (source.sensor_id(reading.name), reading.value) == ("P-1", 3.5)


def test_no_package_replaces_a_built_in_decoder(site: Path) -> None:
    install(site, "waterworks", "senml = plain_decoder_of_a_test:PlainDecoder")
    assert decoder_named("senml") is SenmlDecoder


def test_two_packages_with_one_name_are_refused(site: Path) -> None:
    for package in ("waterworks", "fireworks"):
        install(site, package, "plain = plain_decoder_of_a_test:PlainDecoder")
    with pytest.raises(ConfigError, match="more than one decoder 'plain'"):
        parse_mappings(MAPPING)


@pytest.mark.parametrize("value", ["no_such_module_of_a_test:Decoder", "plain_decoder_of_a_test:NoSuchDecoder"])
def test_a_decoder_that_cannot_be_loaded_is_named(site: Path, value: str) -> None:
    install(site, "waterworks", f"plain = {value}")
    with pytest.raises(ConfigError, match=rf"'plain' \({value}\) cannot be loaded"):
        parse_mappings(MAPPING)


def test_an_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="there is no decoder 'plain'; known decoders: chirpstack, "):
        parse_mappings(MAPPING)
