"""How to reach a broker, and how the ingester talks to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from twin.errors import ConfigError

WEEK_S = 7 * 24 * 3600
LARGEST_PACKET = 268_435_460  # MQTT's own limit, header included
_DEFAULT_PORT = {"mqtt": 1883, "mqtts": 8883}


class Protocol(StrEnum):
    """Which MQTT to speak. `auto` begins with 5 and falls back to 3.1.1 when the broker refuses 5 by name."""

    AUTO = "auto"
    V5 = "5"
    V311 = "3.1.1"


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """A broker's address and the ingester's ways.

    `share` names the group whose members share the messages among them (a shared subscription); each member has a
    fixed `client_id` of its own. `receive_maximum` is the number of unacknowledged messages the broker may have under
    way (MQTT 5); `queue_maximum` messages and `queue_bytes` bound what waits in memory where the broker does not know
    that limit. A packet larger than `largest_packet_bytes` is refused: a broker of MQTT 5 is told so and drops such
    messages, so it must lie above the broker's own limit. `batch` messages, or `batch_bytes` of payload, or what came
    within `linger_s` seconds, are made durable together: large transactions cost least, and end a backlog soonest. The
    broker keeps the session for `session_expiry_s` while we are away. A connection that stays
    silent for `silence_s`, although its own heartbeats (one every `heartbeat_s`) used to come back, is given up and
    made anew.
    """

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    protocol: Protocol = Protocol.AUTO
    client_id: str = "h2twin-ingest"
    share: str = ""
    keepalive_s: int = 30
    connect_timeout_s: float = 10.0
    session_expiry_s: int = WEEK_S
    receive_maximum: int = 16_000
    queue_maximum: int = 40_000
    queue_bytes: int = 128 * 1024 * 1024
    largest_packet_bytes: int = 16 * 1024 * 1024
    topic_alias_maximum: int = 1000
    batch: int = 8000
    batch_bytes: int = 1024 * 1024
    linger_s: float = 0.05
    heartbeat_s: float = 10.0
    silence_s: float = 35.0
    retry_s: float = 0.2
    longest_retry_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse settings that cannot work.

        Raises:
            ConfigError: Naming the setting, its value and the rule.
        """
        if not 0 < len(self.client_id) <= 256 or any(sign in self.client_id for sign in "/+#"):
            raise ConfigError(f"client_id {self.client_id!r}: 1 to 256 characters without / + #")
        if not 1 <= self.receive_maximum <= 65_535:
            raise ConfigError(f"receive_maximum {self.receive_maximum}: must lie between 1 and 65535")
        if self.share and any(sign in self.share for sign in "/+#"):
            raise ConfigError(f"share {self.share!r}: a group's name has no / + #")
        if not 1024 <= self.largest_packet_bytes <= LARGEST_PACKET:
            raise ConfigError(f"largest_packet_bytes {self.largest_packet_bytes}: 1024 to {LARGEST_PACKET}")
        if not 0 <= self.keepalive_s <= 65_535:
            raise ConfigError(f"keepalive_s {self.keepalive_s}: must lie between 0 (none) and 65535")
        if self.batch < 1 or self.queue_maximum < self.batch:
            raise ConfigError(f"batch {self.batch}: must lie between 1 and queue_maximum ({self.queue_maximum})")
        if (self.cert_file is None) is not (self.key_file is None):
            raise ConfigError("cert_file and key_file: give both or neither")

    @classmethod
    def from_url(cls, url: str, *, client_id: str | None = None) -> MqttSettings:
        """Read `mqtt[s]://user:password@host:port?protocol=3.1.1&ca_file=...&cert_file=...&key_file=...`.

        Raises:
            ConfigError: If it is no such address; the message never shows the password.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError("the broker's address is no URL; write mqtt://user:password@host:port") from error
        if parts.scheme not in _DEFAULT_PORT or not host or parts.path not in ("", "/") or parts.fragment:
            raise ConfigError("the broker's address must read mqtt[s]://user:password@host:port")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(set(options) - {"protocol", "ca_file", "cert_file", "key_file"})
        if unknown:
            raise ConfigError(f"the broker's address has unknown options {unknown}")
        if options.get("protocol", "auto") not in list(Protocol):
            raise ConfigError(f"protocol {options['protocol']!r}: must be one of {', '.join(Protocol)}")
        files = {key: Path(path) for key, path in options.items() if key != "protocol"}
        settings = cls(
            host=host,
            port=port or _DEFAULT_PORT[parts.scheme],
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            tls=parts.scheme == "mqtts",
            ca_file=files.get("ca_file"),
            cert_file=files.get("cert_file"),
            key_file=files.get("key_file"),
            protocol=Protocol(options.get("protocol", "auto")),
        )
        return settings if client_id is None else replace(settings, client_id=client_id)

    @property
    def address(self) -> str:
        """The address without secrets, for logs and signs of life."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"
