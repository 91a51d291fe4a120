"""The broker's address."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.mqtt_settings import MqttSettings, Protocol
from twin.errors import ConfigError


def test_reads_an_address_with_everything() -> None:
    settings = MqttSettings.from_url(
        "mqtts://us%40er:p%3Aw%2F@broker.example:1234?protocol=3.1.1&ca_file=/ca.pem", client_id="one"
    )
    assert (settings.host, settings.port, settings.tls) == ("broker.example", 1234, True)
    assert (settings.username, settings.password) == ("us@er", "p:w/")
    assert (settings.protocol, settings.ca_file, settings.client_id) == (Protocol.V311, Path("/ca.pem"), "one")


@pytest.mark.parametrize(("url", "port"), [("mqtt://h", 1883), ("mqtts://h/", 8883), ("mqtt://[::1]:5", 5)])
def test_ports_have_their_defaults(url: str, port: int) -> None:
    assert MqttSettings.from_url(url).port == port


def test_the_password_shows_nowhere() -> None:
    settings = MqttSettings.from_url("mqtt://user:hidden-word@h")
    assert "hidden-word" not in repr(settings) + settings.address


@pytest.mark.parametrize(
    "url",
    [
        "", "h:1883", "http://h", "mqtt://", "mqtt://h:port", "mqtt://h:99999", "mqtt://h/path", "mqtt://h?tls=1",
        "mqtt://h?protocol=4", "mqtt://h?cert_file=/c", "mqtt://u:hidden-word@[h",
    ],
)  # fmt: skip
def test_refuses_what_is_no_address_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MqttSettings.from_url(url)
    assert "hidden-word" not in str(caught.value)


@pytest.mark.parametrize(
    "fields", [{"client_id": ""}, {"client_id": "a/b"}, {"receive_maximum": 0}, {"batch": 0}, {"queue_maximum": 10}]
)
def test_refuses_settings_that_cannot_work(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        MqttSettings("h", **fields)  # type: ignore[arg-type]
