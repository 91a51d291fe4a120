"""Rows of layers become elements of a network, in SI; what cannot become one is a problem with its row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.supply.gis.features import Feature, Point
from models.supply.gis.mapping import FIELDS, NODE_LAYERS, REQUIRED, LayerMapping, Meaning, Source
from models.supply.gis.problems import Problem, ProblemKind
from twin.errors import InputError

Value = float | str
_LONGEST_ID_BYTES = 31
_POSITIVE = frozenset({"length", "diameter", "roughness", "power"})
_NOT_NEGATIVE = frozenset({"minor_loss", "speed", "loss", "minimum_volume", "initial_level", "minimum_level"})
_STATUSES = {
    "open": "OPEN", "opened": "OPEN", "1": "OPEN", "true": "OPEN",
    "closed": "CLOSED", "shut": "CLOSED", "0": "CLOSED", "false": "CLOSED", "cv": "CV", "active": "ACTIVE",
}  # fmt: skip
_STATUSES_OF = {"pipes": ("OPEN", "CLOSED", "CV"), "pumps": ("OPEN", "CLOSED"), "valves": ("OPEN", "CLOSED", "ACTIVE")}
SETTING_OF_VALVE = {
    "PRV": "pressure",
    "PSV": "pressure",
    "PBV": "pressure",
    "FCV": "flow",
    "TCV": "loss",
    "GPV": "curve",
}
"""The field that holds a valve's setting, by its type."""


@dataclass(frozen=True, slots=True)
class Element:
    """A node or link as a layer has it: SI values by field; what a row leaves empty is not there.

    `points` are in the layers' coordinates; a link that names both its nodes may have none.
    """

    layer: str
    element_id: str
    points: tuple[Point, ...]
    values: Mapping[str, Value]

    @property
    def is_node(self) -> bool:
        """Whether it is a junction, tank or reservoir."""
        return self.layer in NODE_LAYERS

    @property
    def place(self) -> Point | None:
        """A point to look at on the map."""
        return self.points[len(self.points) // 2] if self.points else None

    def number(self, name: str, default: float = 0.0) -> float:
        """Return a number of the element, or the default where its row has none."""
        value = self.values.get(name, default)
        return value if isinstance(value, float) else default

    def word(self, name: str) -> str:
        """Return a word of the element, or an empty one."""
        return str(self.values.get(name, ""))


def elements_of(mapping: LayerMapping, features: Iterable[Feature]) -> tuple[list[Element], list[Problem]]:
    """Return the elements of a layer, and what keeps rows from becoming one.

    Raises:
        InputError: If a column that the mapping names is in no row.
    """
    rows = list(features)
    _check_columns(mapping, rows)
    elements, problems = [], []
    for feature in rows:
        try:
            elements.append(_element(mapping, feature))
        except _RowError as error:
            named = feature.properties.get(mapping.id_column)
            name = f"row {feature.number}" if named is None else str(named)
            place = feature.points[0] if feature.points else None
            problems.append(Problem(error.kind, mapping.kind, name, place, f"row {feature.number}: {error}"))
    return elements, problems


def _check_columns(mapping: LayerMapping, rows: Sequence[Feature]) -> None:
    """Refuse a mapping of columns that no row has; a row that lacks one (as GeoJSON allows) has nothing there."""
    known = {name for row in rows for name in row.properties}
    wanted = [mapping.id_column, *(source.column for source in mapping.fields.values() if source.column)]
    if rows and (missing := [name for name in wanted if name not in known]):
        raise InputError(
            f"there is no column {', '.join(map(repr, missing))}; the layer has {', '.join(sorted(known))}"
        )


class _RowError(Exception):
    def __init__(self, kind: ProblemKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def _element(mapping: LayerMapping, feature: Feature) -> Element:
    values = {}
    for name, source in mapping.fields.items():
        value = _value(mapping.kind, name, source, feature)
        if value is not None:
            values[name] = value
    element = Element(mapping.kind, _id(mapping.id_column, feature), feature.points, values)
    _check_complete(element)
    _check_geometry(element, feature)
    return element


def _id(column: str, feature: Feature) -> str:
    name = _word("the id", _cell(column, feature))
    if name is None:
        raise _RowError(ProblemKind.MISSING_VALUE, f"it has no id (column {column!r})")
    return name


def _cell(column: str, feature: Feature) -> object:
    """Return what a row has in a column, None where it is empty."""
    value = feature.properties.get(column)
    return None if isinstance(value, str) and not value.strip() else value


def _value(kind: str, name: str, source: Source, feature: Feature) -> Value | None:
    if not source.column:
        return _sensible(name, source.value * source.factor, str(source.value))
    cell = _cell(source.column, feature)
    if cell is None:
        return None
    if FIELDS[kind][name] is not Meaning.WORD:
        return _sensible(name, _number(name, cell) * source.factor, str(cell))
    if name == "status":
        return _status(kind, cell)
    return _word(name, cell)


def _word(name: str, cell: object) -> str | None:
    """Return a name as an INP can hold it. Numbers are taken as they are written: 7 and 7.0 are both `7`."""
    if cell is None:
        return None
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise _RowError(ProblemKind.BAD_VALUE, f"{name} is {cell!r}, not a word")
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
    if any(letter.isspace() or letter in ';"' or not letter.isprintable() for letter in text) or text.startswith("["):
        raise _RowError(ProblemKind.BAD_VALUE, f"{name} {text!r} holds a blank or a sign that an INP cannot hold")
    if len(text.encode()) > _LONGEST_ID_BYTES:
        raise _RowError(ProblemKind.BAD_VALUE, f"{name} {text!r} is longer than {_LONGEST_ID_BYTES} bytes")
    return text


def _number(name: str, cell: object) -> float:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise _RowError(ProblemKind.BAD_VALUE, f"{name} is {cell!r}, not a number")
    try:
        return float(cell)
    except (ValueError, OverflowError):
        raise _RowError(ProblemKind.BAD_VALUE, f"{name} is {cell!r}, not a number") from None


def _sensible(name: str, value: float, given: str) -> float:
    if not math.isfinite(value) or (name in _POSITIVE and value <= 0) or (name in _NOT_NEGATIVE and value < 0):
        raise _RowError(ProblemKind.BAD_VALUE, f"{name} is {given}, which cannot be")
    return value


def _status(kind: str, cell: object) -> str:
    status = _STATUSES.get(str(cell).strip().lower(), "")
    if status not in _STATUSES_OF[kind]:
        raise _RowError(ProblemKind.BAD_VALUE, f"status is {cell!r}; known are {', '.join(_STATUSES_OF[kind])}")
    return status


def _check_complete(element: Element) -> None:
    missing = [name for name in REQUIRED[element.layer] if name not in element.values]
    if element.layer == "valves" and not missing:
        kind = element.word("type").upper()
        if kind not in SETTING_OF_VALVE:
            raise _RowError(ProblemKind.BAD_VALUE, f"type is {kind}; known are {', '.join(SETTING_OF_VALVE)}")
        if SETTING_OF_VALVE[kind] not in element.values:
            missing.append(f"{SETTING_OF_VALVE[kind]} (the setting of a {kind})")
    if element.layer == "pumps" and ("curve" in element.values) == ("power" in element.values):
        missing.append("either a curve or a power")
    if missing:
        raise _RowError(ProblemKind.MISSING_VALUE, f"{element.element_id} has no {', no '.join(missing)}")


def _check_geometry(element: Element, feature: Feature) -> None:
    names_its_nodes = "start" in element.values and "end" in element.values
    if element.is_node:
        if len(feature.points) != 1:
            raise _RowError(ProblemKind.BAD_GEOMETRY, feature.flaw or "it is a line; nodes are points")
    elif len(feature.points) < 2 and not names_its_nodes:
        raise _RowError(
            ProblemKind.BAD_GEOMETRY, feature.flaw or "it is a point; a link is a line, or names its start and end"
        )
