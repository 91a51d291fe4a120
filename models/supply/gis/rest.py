"""What layers do not hold, from an INP of its own: patterns, curves, controls, rules, energy, quality, options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.supply.gis.writing import PRESSURES
from models.supply.inp import vet_inp
from models.supply.units import FlowUnits
from twin.errors import InputError

OF_LAYERS = (
    "[JUNCTIONS]", "[RESERVOIRS]", "[TANKS]", "[PIPES]", "[PUMPS]", "[VALVES]", "[STATUS]", "[COORDINATES]",
    "[VERTICES]",
)  # fmt: skip
"""Sections that come from layers."""

_OPTIONS = "[OPTIONS]"
_END = "[END]"
_OF_MAPPING = ("UNIT", "HEADL", "PRESSURE")


@dataclass(frozen=True, slots=True)
class Rest:
    """The sections as an INP has them, without what the mapping says; units of pressure if it states them."""

    text: str = ""
    flow_units: FlowUnits | None = None
    headloss: str = ""
    pressure: str = ""
    specific_gravity: float = 1.0


def read_rest(path: Path) -> Rest:
    """Read the INP of the rest.

    Raises:
        InputError: If it is missing, refused, or holds what comes from layers.
    """
    try:
        inp = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error
    try:
        rest, of_layers = divided(vet_inp(inp)) if inp.strip() else (Rest(), {})
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    if held := [section for section, rows in of_layers.items() if rows]:
        raise InputError(f"{path.name} holds {', '.join(held)}, which come from layers: remove them there")
    return rest


def divided(text: str) -> tuple[Rest, dict[str, list[str]]]:
    """Return the rest of a vetted INP, and the rows of the sections that come from layers."""
    kept: list[str] = []
    of_layers: dict[str, list[str]] = {}
    options: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = next((name for name in OF_LAYERS if line.startswith(name)), line)
            if section not in OF_LAYERS and line != _END:
                kept.append(line)
        elif not line:
            continue
        elif section in OF_LAYERS:
            of_layers.setdefault(section, []).append(line)
        elif section.startswith(_OPTIONS) and line.upper().startswith(_OF_MAPPING):
            name, *words = line.upper().split()
            options[next(of for of in _OF_MAPPING if name.startswith(of))] = words[-1] if words else ""
        else:
            if section.startswith(_OPTIONS) and line.upper().startswith("SPEC"):
                options["SPEC"] = line.split()[-1]
            kept.append(line)
    return _rest("\n".join([*kept, ""]), options), of_layers


def _rest(text: str, options: dict[str, str]) -> Rest:
    units, pressure = options.get("UNIT", ""), options.get("PRESSURE", "")
    if units and units not in FlowUnits.__members__:
        raise InputError(f"{units} are no units of flow; known are {', '.join(FlowUnits.__members__)}")
    named = next((word for word in PRESSURES if word.startswith(pressure[:3])), "") if pressure else ""
    if pressure and not named:
        raise InputError(f"{pressure} is no unit of pressure; known are {', '.join(PRESSURES)}")
    return Rest(
        text, FlowUnits[units] if units else None, options.get("HEADL", ""), named, float(options.get("SPEC", 1.0))
    )
