"""The fields of devices that somebody mapped: what formats have in common whose external names read `{device}/{path}`.

Such a format has no place for units. `[source.options]` may hold `units`, a table of path -> unit; where it names none,
the decoder's own rule counts (a suffix of the field's name, say), and where there is none, the sensor's own unit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ingest.decoders import strict_json
from ingest.decoders.base import AllNames, Decoded, RawReading, Refused, SourceOptions, UndecodableError
from ingest.decoders.json_places import ABSENT, Path, leaves_of
from twin.clock import format_time
from twin.errors import ConfigError, UnknownUnitError
from twin.units import unit_named


@dataclass(frozen=True, slots=True)
class _Field:
    """One mapped field of one device."""

    name: str
    path: Path
    unit: str | None


class MappedFields:
    """The mapped fields, by device."""

    def __init__(
        self, source: SourceOptions, *, decoder: str, unit_of: Callable[[str], str | None] | None = None
    ) -> None:
        units = _units(source.options.get("units", {}), decoder)
        self._reads_all = isinstance(source.names, AllNames)
        self._unit_of = unit_of
        self._zero_if_absent = frozenset(source.zero_if_absent)
        self._fields: dict[str, list[_Field]] = {}
        paths: set[str] = set()
        for name in sorted(source.names):
            device, slash, text = name.partition("/")
            if not device or not slash or not text:
                raise ConfigError(f"{decoder}: the external name {name!r} must read device/path")
            unit = units.get(text)
            if unit is None and unit_of is not None:
                unit = unit_of(text)
            self._fields.setdefault(device.casefold(), []).append(_Field(name, Path(text), unit))
            paths.add(text)
        for what, named in (("zero_if_absent", self._zero_if_absent), ("units", frozenset(units))):
            unused = sorted(named - paths)
            if unused:
                raise ConfigError(f"{decoder}: {what} names {unused}, which no external name does")

    def has(self, device: str) -> bool:
        """Whether somebody mapped a field of this device."""
        return self._reads_all or device.casefold() in self._fields

    def read(
        self,
        decoded: Decoded,
        device: str,
        document: object,
        observed_at: datetime,
        reasons: tuple[str, ...] = (),
        context: Mapping[str, object] | None = None,
        *,
        zeros: bool = True,
    ) -> None:
        """Add the mapped values in `document` to `decoded`; one that is no number is refused by name.

        `context` stands beside a refused value in its dead letter. With `zeros`, what is absent and listed in
        `zero_if_absent` is 0.
        """
        fields = self._all_in(device, document) if self._reads_all else self._fields.get(device.casefold(), [])
        for field in fields:
            value = field.path.of(document)
            if value is ABSENT:
                if not zeros or field.path.text not in self._zero_if_absent:
                    continue
                value = 0
            try:
                number = number_in(value)
            except UndecodableError as error:
                item: dict[str, object] = {"observed_at": format_time(observed_at), "value": value}
                if field.unit is not None:
                    item["unit"] = field.unit
                decoded.refused.append(Refused(field.name, error.reason, str(error), {**item, **(context or {})}))
                continue
            decoded.readings.append(RawReading(field.name, observed_at, number, field.unit, None, reasons))

    def _all_in(self, device: str, document: object) -> list[_Field]:
        """Return a field for every number in the document whose unit is no riddle."""
        found: list[_Field] = []
        for text, value in leaves_of(document):
            with contextlib.suppress(ConfigError, UndecodableError):
                number_in(value)
                unit = None if self._unit_of is None else self._unit_of(text)
                found.append(_Field(f"{device}/{text}", Path(text), unit))
        return found


def number_in(value: object) -> float:
    """Return a JSON number as a finite float, true as 1 and false as 0.

    Raises:
        UndecodableError: If it is neither, or not finite.
    """
    return float(value) if isinstance(value, bool) else strict_json.as_finite(value)


def refuse_unknown_options(source: SourceOptions, known: frozenset[str], decoder: str) -> None:
    """Return if the decoder knows every option of the source.

    Raises:
        ConfigError: Naming the unknown ones and the known ones.
    """
    unknown = sorted(set(source.options) - known)
    if unknown:
        raise ConfigError(f"{decoder}: unknown options {unknown}; known: {', '.join(sorted(known)) or 'none'}")


def require_known_units(units: Iterable[str], decoder: str) -> None:
    """Return if h2twin can convert every unit: else each reading would be a dead letter.

    Raises:
        ConfigError: Naming the first one that it cannot.
    """
    for unit in units:
        try:
            unit_named(unit)
        except UnknownUnitError as error:
            raise ConfigError(f"{decoder}: {error}") from error


def _units(option: object, decoder: str) -> Mapping[str, str]:
    if not isinstance(option, Mapping) or not all(isinstance(unit, str) and unit for unit in option.values()):
        raise ConfigError(f'{decoder}: `units` must be a table of path = "unit"')
    require_known_units(option.values(), decoder)
    return option
