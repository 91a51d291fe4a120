"""The mapping file: which layer is what, and which of its columns means what, in which unit (TOML).

A string names a column, a number is the value for all rows. What has a dimension has its unit beside it
(`diameter = "dn"`, `diameter_unit = "mm"`): no unit is ever guessed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from models.supply.gis.ground import SCHEMATIC
from models.supply.units import FlowUnits
from twin.errors import InputError
from twin.units import Unit, unit_named

HEADLOSSES = ("H-W", "D-W", "C-M")
NODE_LAYERS = ("junctions", "reservoirs", "tanks")
LINK_LAYERS = ("pipes", "pumps", "valves")
_CRS = re.compile(r"(EPSG:\d+|OGC:CRS84|" + SCHEMATIC + ")")
_MILLIMETRE_M = 1e-3
_LENGTHS = ("m", "cm", "ft")


class Meaning(StrEnum):
    """What a column holds. All but words and numbers need a unit."""

    WORD = "word"
    NUMBER = "number"
    LENGTH = "length"
    PRESSURE = "pressure"
    FLOW = "flow"
    VOLUME = "volume"
    POWER = "power"


FIELDS: Mapping[str, Mapping[str, Meaning]] = {
    "junctions": {"elevation": Meaning.LENGTH, "demand": Meaning.FLOW, "pattern": Meaning.WORD},
    "reservoirs": {"head": Meaning.LENGTH, "pattern": Meaning.WORD},
    "tanks": {
        "elevation": Meaning.LENGTH,
        "initial_level": Meaning.LENGTH,
        "minimum_level": Meaning.LENGTH,
        "maximum_level": Meaning.LENGTH,
        "diameter": Meaning.LENGTH,
        "minimum_volume": Meaning.VOLUME,
        "volume_curve": Meaning.WORD,
        "overflow": Meaning.WORD,
    },
    "pipes": {
        "start": Meaning.WORD,
        "end": Meaning.WORD,
        "length": Meaning.LENGTH,
        "diameter": Meaning.LENGTH,
        "roughness": Meaning.NUMBER,
        "minor_loss": Meaning.NUMBER,
        "status": Meaning.WORD,
    },
    "pumps": {
        "start": Meaning.WORD,
        "end": Meaning.WORD,
        "curve": Meaning.WORD,
        "power": Meaning.POWER,
        "speed": Meaning.NUMBER,
        "pattern": Meaning.WORD,
        "status": Meaning.WORD,
    },
    "valves": {
        "start": Meaning.WORD,
        "end": Meaning.WORD,
        "type": Meaning.WORD,
        "diameter": Meaning.LENGTH,
        "pressure": Meaning.PRESSURE,
        "flow": Meaning.FLOW,
        "loss": Meaning.NUMBER,
        "curve": Meaning.WORD,
        "minor_loss": Meaning.NUMBER,
        "status": Meaning.WORD,
    },
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "junctions": ("elevation",),
    "reservoirs": ("head",),
    "tanks": ("elevation", "initial_level", "minimum_level", "maximum_level", "diameter"),
    "pipes": ("diameter", "roughness"),
    "pumps": (),
    "valves": ("type", "diameter"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from: a column, or one value for all; `factor` makes it SI."""

    column: str = ""
    value: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class LayerMapping:
    """A layer's file, the column of its ids, and where each of its fields comes from."""

    kind: str
    file: Path
    layer: str
    id_column: str
    fields: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GisMapping:
    """A whole mapping. `rest` is an INP of what layers do not hold: patterns, curves, controls, options."""

    crs: str
    flow_units: FlowUnits
    headloss: str
    snap_m: float
    layers: tuple[LayerMapping, ...]
    rest: Path | None = None


def read_mapping(path: Path) -> GisMapping:
    """Read a mapping file; the files that it names lie beside it, unless their paths say otherwise.

    Raises:
        InputError: If it is no TOML, lacks something, or has a word that means nothing; the message names the key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: {error}") from error
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error
    _refuse_unknown(path.name, content, ("crs", "flow_units", "headloss", "snap_m", "rest", *FIELDS))
    crs = str(_needed(content, "crs", path.name)).strip()
    check_crs(f"{path.name}: crs", crs)
    units = str(content.get("flow_units", "LPS"))
    if units not in FlowUnits.__members__:
        raise InputError(f"{path.name}: flow_units must be one of {', '.join(FlowUnits.__members__)}, not {units!r}")
    headloss = str(content.get("headloss", "H-W"))
    if headloss not in HEADLOSSES:
        raise InputError(f"{path.name}: headloss must be one of {', '.join(HEADLOSSES)}, not {headloss!r}")
    snap_m = content.get("snap_m", 0.1)
    if not _is_number(snap_m) or not 0 <= snap_m <= 100:
        raise InputError(f"{path.name}: snap_m must be from 0 to 100 m, not {snap_m!r}")
    kinds = [kind for kind in FIELDS if kind in content]
    layers = tuple(_layer(path, kind, content[kind], headloss) for kind in kinds)
    rest = path.parent / str(content["rest"]) if "rest" in content else None
    return GisMapping(crs, FlowUnits[units], headloss, float(snap_m), layers, rest)


def check_crs(what: str, crs: str) -> None:
    """Refuse what names no reference system.

    Raises:
        InputError: Naming `what` it stands for.
    """
    if not _CRS.fullmatch(crs):
        raise InputError(f"{what} must be EPSG:<number>, OGC:CRS84 or {SCHEMATIC}, not {crs!r}")


def _layer(path: Path, kind: str, table: object, headloss: str) -> LayerMapping:
    where = f"{path.name}: [{kind}]"
    if not isinstance(table, dict):
        raise InputError(f"{where} must be a table")
    meanings = dict(FIELDS[kind])
    if kind == "pipes" and headloss == "D-W":
        meanings["roughness"] = Meaning.LENGTH
    units = [f"{name}_unit" for name, meaning in meanings.items() if meaning not in (Meaning.WORD, Meaning.NUMBER)]
    _refuse_unknown(where, table, ("file", "layer", "id", *meanings, *units))
    if missing := [name for name in ("file", "id", *REQUIRED[kind]) if name not in table]:
        raise InputError(f"{where} lacks {', '.join(missing)}")
    return LayerMapping(
        kind,
        path.parent / str(table["file"]),
        str(table.get("layer", "")),
        str(table["id"]),
        {name: _source(where, table, name, meaning) for name, meaning in meanings.items() if name in table},
    )


def _source(where: str, table: Mapping[str, Any], name: str, meaning: Meaning) -> Source:
    given = table[name]
    factor = 1.0
    if meaning not in (Meaning.WORD, Meaning.NUMBER):
        factor = _factor(f"{where} {name}_unit", str(_needed(table, f"{name}_unit", where)), meaning)
    if isinstance(given, str):
        return Source(given, factor=factor)
    if meaning is Meaning.WORD or not _is_number(given):
        raise InputError(f"{where} {name} must name a column, not be {given!r}")
    return Source(value=float(given), factor=factor)


def _factor(where: str, name: str, meaning: Meaning) -> float:
    """Return what one unit is in SI. Millimetres and inches are depths of rain in the table of units."""
    unit: Unit = unit_named(name)
    if meaning is Meaning.LENGTH and unit.dimension == "depth":
        return unit.factor * _MILLIMETRE_M
    is_head = meaning is Meaning.PRESSURE and unit.dimension == Meaning.LENGTH
    is_pressure = meaning is Meaning.LENGTH and unit.name not in _LENGTHS  # the table has pressures as lengths of water
    if not is_head and (unit.dimension != meaning or is_pressure):
        raise InputError(f"{where}: {name} is not a unit of {meaning}")
    return unit.factor


def _needed(table: Mapping[str, Any], key: str, where: str) -> object:
    if key not in table:
        raise InputError(f"{where} lacks {key}")
    return table[key]


def _refuse_unknown(where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise InputError(f"{where} has {', '.join(unknown)}, which means nothing; known are {', '.join(known)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
