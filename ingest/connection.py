"""One connection to a broker: paho's client, made to read in large gulps and to acknowledge in batches.

paho asks the kernel for each byte of a packet's header and for each packet, and writes each acknowledgement by itself.
`GulpingSocket` answers its small requests from a buffer, and `acknowledge` queues all acknowledgements of a batch as
one write. Both hook into paho where it is closed to outsiders (`_create_socket`, `_packet_queue`); a test fails when
a new release changes them.

A connection is used once. After a loss a new client object is made, so that an acknowledgement that comes late goes to
the dead connection and can never acknowledge another message under a re-used packet id.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Sequence

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.mqtt_settings import MqttSettings
from twin.errors import ConfigError

_GULP = 256 * 1024
_PUBACK = 0x40


class GulpingSocket:
    """A socket that reads ahead. `pending` tells paho that select() alone does not know whether there is more."""

    def __init__(self, under: socket.socket) -> None:
        self._under = under
        self._buffer = b""
        self._at = 0

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, from the buffer while it has any."""
        if self._at >= len(self._buffer):
            self._buffer, self._at = self._under.recv(_GULP), 0
        taken = self._buffer[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def pending(self) -> int:
        """Return the number of bytes that can be read without asking the kernel."""
        held = len(self._buffer) - self._at
        return held + (self._under.pending() if isinstance(self._under, ssl.SSLSocket) else 0)

    def send(self, data: bytes) -> int:
        """Write what fits."""
        return self._under.send(data)

    def fileno(self) -> int:
        """Return the descriptor, for select()."""
        return self._under.fileno()

    def setblocking(self, flag: bool) -> None:
        """Let reads and writes wait or not."""
        self._under.setblocking(flag)

    def close(self) -> None:
        """Close the socket."""
        self._under.close()


class Connection(paho.Client):
    """A paho client with manual acknowledgements, read by gulps, acknowledged by batches."""

    def __init__(self, settings: MqttSettings, *, mqtt5: bool) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if mqtt5 else False,
            protocol=paho.MQTTv5 if mqtt5 else paho.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self._gulping: GulpingSocket | None = None
        configure(self, settings)
        # Without this hook paho writes acknowledgements from the thread that calls ack(), beside the network thread.
        self.on_socket_register_write = _leave_writing_to_the_loop

    def open(self, settings: MqttSettings, *, mqtt5: bool) -> None:
        """Connect and ask for the persistent session.

        Raises:
            OSError: If nobody answers there.
        """
        if not mqtt5:
            self.connect(settings.host, settings.port, settings.keepalive_s)
            return
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = settings.session_expiry_s
        session.ReceiveMaximum = settings.receive_maximum
        self.connect(settings.host, settings.port, settings.keepalive_s, clean_start=False, properties=session)

    def turn(self, timeout_s: float) -> bool:
        """Read and write what there is, waiting up to `timeout_s` for something; False when the connection is lost."""
        result = self.loop(timeout_s)
        while result == paho.MQTT_ERR_SUCCESS and self._gulping is not None and self._gulping.pending() > 0:
            result = self.loop_read()
        return result == paho.MQTT_ERR_SUCCESS

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Acknowledge QoS 1 messages in the order given; on a dead connection nothing happens."""
        if packet_ids and self._sock is not None:
            packets = b"".join(struct.pack("!BBH", _PUBACK, 2, packet_id) for packet_id in packet_ids)
            self._packet_queue(_PUBACK, packets, packet_ids[-1], 1)

    def abandon(self) -> None:
        """Close the socket at once, without taking leave of the broker."""
        self._sock_close()

    def _create_socket(self) -> GulpingSocket:  # type: ignore[override]  # paho's SocketLike has the same methods
        self._gulping = GulpingSocket(super()._create_socket())  # type: ignore[arg-type]
        return self._gulping


def configure(client: paho.Client, settings: MqttSettings) -> None:
    """Set credentials, TLS and time limits.

    Raises:
        ConfigError: If a certificate file cannot be used.
    """
    client.connect_timeout = settings.connect_timeout_s
    client.suppress_exceptions = True  # a callback that fails must not end the loop; ours log for themselves
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    if settings.tls:
        try:
            context = ssl.create_default_context(cafile=None if settings.ca_file is None else str(settings.ca_file))
            if settings.cert_file is not None:
                context.load_cert_chain(settings.cert_file, settings.key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the TLS files of {settings.address} cannot be used: {error}") from error
        client.tls_set_context(context)


def _leave_writing_to_the_loop(client: object, userdata: object, sock: object) -> None:
    """Do nothing: paho's self-pipe wakes the loop, which writes."""
