"""SenML (RFC 8428) as JSON: packs of records with base values, on any topic.

The external name is the resolved one, base name and name joined (`urn:dev:ow:10e2073a01080063:temp`). The integrated
sum of a record is a value of its own, with `#sum` after the name (`#` cannot stand in a SenML name): a flow in m3/s
has its sum in m3. True and false are 1 and 0; text and opaque data are ignored, and refused by name where somebody
mapped them.

Times below 2^28 are relative to now, which is the time of receipt; a redelivered pack with relative times counts twice,
so senders should state absolute ones. Labels that end in `_` must be understood (RFC 8428 section 4.4): h2twin knows
none, and refuses the pack, as it does a version (`bver`) other than 10 and below, or 26, which adds RFC 9100's units.

Options (`[source.options]`):

- `names_begin_with`: what every resolved name must begin with, with the topic's levels in braces
  (`"urn:dev:mac:{device}:"`). Without it nothing ties a pack to its topic: state it, or nobody notices a forged name.
- `sender`: the level of the topic that names the sender (`"{device}"`); else it is the only named level, or the topic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from ingest.decoders import strict_json
from ingest.decoders.base import LONGEST_NAME, Decoded, RawReading, Refusal, Refused, SourceOptions, UndecodableError
from ingest.decoders.mapped_fields import number_in, refuse_unknown_options
from ingest.decoders.senders import is_proper_name, sender_of_topic
from ingest.decoders.senml_units import twin_unit, unit_of_sum
from ingest.decoders.times import require_plausible
from twin.errors import ConfigError

SUM = "#sum"
ABSOLUTE_FROM = 2**28
"""Times from here on are seconds since 1970; below they are relative to now (RFC 8428 section 4.5.3)."""

_VERSIONS = frozenset({*range(11), 26})
_VALUES = ("v", "vb", "vs", "vd")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Base:
    """What the base fields have set so far; each holds for its own record and those after it."""

    name: str = ""
    time: Fraction = field(default_factory=Fraction)
    unit: str | None = None
    value: float = 0.0
    sum: float = 0.0
    version: int | None = None


class SenmlDecoder:
    """Reads SenML packs."""

    def __init__(self, source: SourceOptions) -> None:
        refuse_unknown_options(source, frozenset({"names_begin_with", "sender"}), "senml")
        if source.zero_if_absent:
            raise ConfigError("senml: zero_if_absent has no meaning here; a record states its value")
        self._names = source.names
        self._template = source.template
        self._prefix = source.options.get("names_begin_with", "")
        if not isinstance(self._prefix, str):
            raise ConfigError("senml: names_begin_with must be text")
        try:
            self._prefix.format_map(dict.fromkeys(source.template.names, ""))
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            raise ConfigError(f"senml: names_begin_with {self._prefix!r} names a level the topic has not") from error
        self._sender_level = _sender_level(source)

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:
        """Return the records whose resolved names somebody mapped."""
        levels = self._template.match(topic)
        if levels is None:
            raise UndecodableError(f"the topic does not fit {self._template.text!r}")
        pack = strict_json.load(payload)
        if not isinstance(pack, list):
            raise UndecodableError("a SenML pack must be a JSON array of records")
        prefix = str(self._prefix).format_map(levels)
        decoded = Decoded(self._sender(topic, levels), many=True)
        base = _Base()
        for record in pack:
            if not isinstance(record, dict):
                raise UndecodableError(f"a SenML record must be a JSON object, not {strict_json.brief(record)}")
            _refuse_what_must_be_understood(record)
            _rebase(base, record)
            self._read(decoded, base, record, prefix, received_at)
        return decoded

    def _sender(self, topic: str, levels: Mapping[str, str]) -> str:
        name = levels.get(self._sender_level, "")
        return name if is_proper_name(name) else sender_of_topic(topic)

    def _read(self, decoded: Decoded, base: _Base, record: dict[str, Any], prefix: str, now: datetime) -> None:
        present = [label for label in (*_VALUES, "s") if label in record]
        if not present:
            return  # base fields alone
        name = _resolved_name(base, record)
        if not name.startswith(prefix):
            raise UndecodableError(
                f"the topic allows names that begin with {prefix!r}, the payload says {strict_json.brief(name)}",
                Refusal.FORGED_IDENTITY,
            )
        unit = record.get("u", base.unit)
        values = [label for label in present if label != "s"]
        for label, mapped in ((values[0] if values else "", name), ("s" if "s" in record else "", name + SUM)):
            if not label or mapped not in self._names:
                continue
            try:
                if len(values) > 1:
                    raise UndecodableError(f"a record has one value, not {' and '.join(values)}")
                number = _value(label, record[label], base)
                when = _time(base, record, now)
                known = _unit(unit, is_sum=label == "s")
            except UndecodableError as error:
                decoded.refused.append(Refused(mapped, error.reason, str(error), {"value": record[label], **record}))
                continue
            decoded.readings.append(RawReading(mapped, when, number, known))


def _sender_level(source: SourceOptions) -> str:
    option = source.options.get("sender")
    names = source.template.names
    if option is None:
        return names[0] if len(names) == 1 else ""
    if not isinstance(option, str) or option[1:-1] not in names or option != f"{{{option[1:-1]}}}":
        raise ConfigError(f"senml: sender {option!r} is no named level of the topic {source.template.text!r}")
    return option[1:-1]


def _refuse_what_must_be_understood(record: dict[str, Any]) -> None:
    unknown = sorted(label for label in record if label.endswith("_"))
    if unknown:
        raise UndecodableError(f"the label {strict_json.brief(unknown[0])} must be understood, and h2twin does not")


def _rebase(base: _Base, record: dict[str, Any]) -> None:
    """Take over the base fields of a record; one that is wrong spoils all that follow, so the pack is refused."""
    if "bver" in record:
        version = record["bver"]
        is_known = isinstance(version, int) and not isinstance(version, bool) and version in _VERSIONS
        if not is_known or base.version not in (None, version):
            raise UndecodableError(
                f"SenML version {strict_json.brief(version)} is not supported, or not the pack's own"
            )
        base.version = version
    if "bn" in record:
        base.name = _text(record["bn"], "bn")
    if "bu" in record:
        base.unit = _text(record["bu"], "bu")
    if "bt" in record:
        base.time = _exact(record["bt"], "bt")
    if "bv" in record:
        base.value = strict_json.as_finite(record["bv"])
    if "bs" in record:
        base.sum = strict_json.as_finite(record["bs"])


def _resolved_name(base: _Base, record: dict[str, Any]) -> str:
    name = base.name + _text(record.get("n", ""), "n")
    if not 0 < len(name) <= LONGEST_NAME:
        raise UndecodableError(f"a resolved name must have 1 to {LONGEST_NAME} characters")
    return name


def _value(label: str, value: object, base: _Base) -> float:
    if label == "vb":
        if not isinstance(value, bool):
            raise UndecodableError(f"vb must be true or false, not {strict_json.brief(value)}")
        return number_in(value)
    if label in ("vs", "vd"):
        raise UndecodableError("text and opaque data are no readings")
    total = strict_json.as_finite(value) + (base.value if label == "v" else base.sum)
    if not math.isfinite(total):
        raise UndecodableError("the value is not finite", Refusal.NOT_FINITE)
    return total


def _time(base: _Base, record: dict[str, Any], now: datetime) -> datetime | None:
    seconds = base.time + _exact(record.get("t", 0), "t")
    if seconds == 0:
        return None  # now
    try:
        since = timedelta(microseconds=round(seconds * 1_000_000))
        return require_plausible((_EPOCH if seconds >= ABSOLUTE_FROM else now) + since)
    except OverflowError as error:
        raise UndecodableError("the time lies beyond all calendars", Refusal.IMPLAUSIBLE_TIME) from error


def _unit(unit: object, *, is_sum: bool) -> str | None:
    if unit is None:
        return None
    text = _text(unit, "u")
    return unit_of_sum(text) if is_sum else twin_unit(text)


def _exact(value: object, label: str) -> Fraction:
    """Return a number exactly as it was written: 1276020076.001 has no float of its own."""
    try:
        strict_json.as_finite(value)
        return Fraction(repr(value))
    except UndecodableError as error:
        raise UndecodableError(f"{label} must be a finite number, not {strict_json.brief(value)}") from error


def _text(value: object, label: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise UndecodableError(
            f"{label} must be text of up to {LONGEST_NAME} characters, not {strict_json.brief(value)}"
        )
    return value
