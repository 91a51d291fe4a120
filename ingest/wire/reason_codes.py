"""The names of reason codes: MQTT 5.0 section 2.4, MQTT 3.1.1 sections 3.2.2.3 and 3.9.3."""

from __future__ import annotations

UNSUPPORTED_PROTOCOL_VERSION = 0x84
FIRST_FAILURE = 0x80

_MQTT5 = {
    0x00: "success",
    0x01: "granted QoS 1",
    0x02: "granted QoS 2",
    0x04: "disconnect with will message",
    0x11: "no subscription existed",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    0x8E: "session taken over: another client uses the same client id",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x92: "packet identifier not found",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported",
    0xA2: "wildcard subscriptions not supported",
}
_CONNACK_311 = {
    1: "unacceptable protocol version",
    2: "client identifier rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}


def name_of(code: int) -> str:
    """Return what a code of MQTT 5 (or of a SUBACK) means."""
    return _MQTT5.get(code, f"reason code 0x{code:02X}")


def connack_name_of(code: int, *, mqtt5: bool) -> str:
    """Return what the code of a CONNACK means; a broker of the other version answers with its own codes."""
    if not mqtt5 or code < FIRST_FAILURE:
        return _CONNACK_311.get(code, f"return code {code}")
    return name_of(code)


def is_unsupported_version(code: int) -> bool:
    """Whether the broker does not speak our version: MQTT 5 calls it 0x84, a broker of 3.1.1 answers with 1."""
    return code in (1, UNSUPPORTED_PROTOCOL_VERSION)
