"""What can go wrong with a broker. All of it means: close this connection, wait a little, connect anew.

UnavailableError
└── WireError
    ├── ConnectionLostError      the broker, or the way to it, is gone
    ├── NoAnswerError            it is there and does not say what it must say
    ├── RefusedError             it says no, with a code
    └── ProtocolViolationError   it says what MQTT does not allow
        ├── MalformedPacketError     bytes that are no packet
        └── PacketTooLargeError      a packet larger than we take
"""

from __future__ import annotations

from twin.errors import UnavailableError


class WireError(UnavailableError):
    """The connection to the broker cannot go on."""


class ConnectionLostError(WireError):
    """The connection ended, or cannot be made."""


class NoAnswerError(WireError):
    """The broker keeps silent where it must answer."""


class RefusedError(WireError):
    """The broker refuses the connection, or ends it, and says why.

    `code` is the reason code as the broker sent it; `is_version` says that it does not speak our MQTT.
    """

    def __init__(self, message: str, code: int, *, is_version: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.is_version = is_version


class ProtocolViolationError(WireError):
    """The broker sent what the standard does not allow; `reason_code` is what MQTT 5 calls it."""

    reason_code = 0x82

    def __init__(self, message: str, reason_code: int | None = None) -> None:
        super().__init__(message)
        if reason_code is not None:
            self.reason_code = reason_code


class MalformedPacketError(ProtocolViolationError):
    """Bytes that cannot be a packet."""

    reason_code = 0x81


class PacketTooLargeError(ProtocolViolationError):
    """A packet beyond the limit that keeps the memory flat."""

    reason_code = 0x95
