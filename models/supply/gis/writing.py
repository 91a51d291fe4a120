"""Writing a network as an INP, in the units that the mapping asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from models.supply.gis.elements import SETTING_OF_VALVE, Element
from models.supply.gis.topology import Connected
from models.supply.units import EngineUnits, FlowUnits
from twin.units import FOOT_M

PRESSURES = ("PSI", "KPA", "METERS", "BAR", "FEET")
"""EPANET's words for its units of pressure, in the order of its codes."""

_METRES, _PSI = 2, 0
HORSEPOWER_W = 745.7
"""EPANET's own factor (types.h)."""
_THOUSAND = 1000.0
_YES = ("yes", "true", "1")


def units_of(flow_units: FlowUnits, pressure: str = "", specific_gravity: float = 1.0) -> EngineUnits:
    """Return the units of an INP with these flow units; pressures in metres or psi unless it says otherwise."""
    usual = _METRES if flow_units >= FlowUnits.LPS else _PSI
    return EngineUnits(flow_units, PRESSURES.index(pressure) if pressure else usual, specific_gravity)


class InpWriter:
    """Writes elements; every number in `units`, so that reading it gives back what was meant."""

    def __init__(self, units: EngineUnits, headloss: str) -> None:
        self._units, self._headloss = units, headloss

    def text(self, nodes: Mapping[str, Element], links: Sequence[Connected]) -> str:
        """Return the sections of nodes, links and their drawing, and the units."""
        of = {name: [node for node in nodes.values() if node.layer == name] for name in ("junctions", "tanks")}
        between = {name: [link for link in links if link.link.layer == name] for name in ("pipes", "pumps", "valves")}
        reservoirs = [node for node in nodes.values() if node.layer == "reservoirs"]
        status = [
            f"{link.link.element_id} {link.link.word('status')}"
            for link in (*between["pumps"], *between["valves"])
            if link.link.word("status") in ("OPEN", "CLOSED")
        ]
        sections = {
            "JUNCTIONS": map(self._junction, of["junctions"]),
            "RESERVOIRS": map(self._reservoir, reservoirs),
            "TANKS": map(self._tank, of["tanks"]),
            "PIPES": map(self._pipe, between["pipes"]),
            "PUMPS": map(self._pump, between["pumps"]),
            "VALVES": map(self._valve, between["valves"]),
            "STATUS": status,
            "COORDINATES": (_row(name, *node.points[0]) for name, node in nodes.items()),
            "VERTICES": (_row(link.link.element_id, *point) for link in links for point in link.link.points[1:-1]),
            "OPTIONS": (
                f"UNITS {self._units.flow_units.name}",
                f"PRESSURE {PRESSURES[self._units.pressure_units]}",
                f"HEADLOSS {self._headloss}",
            ),
        }
        return "\n".join(_section(name, rows) for name, rows in sections.items())

    def roughness(self, roughness: float) -> float:
        """Return a roughness as the INP has it: Darcy-Weisbach's is a length, in mm or thousandths of a foot."""
        if self._headloss != "D-W":
            return roughness
        return roughness * _THOUSAND if self._units.is_metric else roughness / FOOT_M * _THOUSAND

    def setting(self, valve: Element) -> float | str:
        """Return a valve's setting as the INP has it."""
        name = SETTING_OF_VALVE[valve.word("type").upper()]
        if name == "curve":
            return valve.word("curve")
        if name == "pressure":
            return self._units.engine_pressure(valve.number("pressure"))
        return valve.number(name) / (self._units.flow_m3s if name == "flow" else 1.0)

    def _junction(self, node: Element) -> str:
        demand = node.number("demand") / self._units.flow_m3s
        return _row(node.element_id, self._length(node, "elevation"), demand, node.word("pattern"))

    def _reservoir(self, node: Element) -> str:
        return _row(node.element_id, self._length(node, "head"), node.word("pattern"))

    def _tank(self, node: Element) -> str:
        lengths = ("elevation", "initial_level", "minimum_level", "maximum_level", "diameter")
        volume = node.number("minimum_volume") / self._units.volume_m3
        overflow = ("YES",) if node.word("overflow").lower() in _YES else ()
        curve = node.word("volume_curve") or ("*" if overflow else "")
        return _row(node.element_id, *(self._length(node, name) for name in lengths), volume, curve, *overflow)

    def _pipe(self, link: Connected) -> str:
        pipe = link.link
        return _row(
            pipe.element_id,
            link.start,
            link.end,
            link.length_m / self._units.length_m,
            pipe.number("diameter") / self._units.diameter_m,
            self.roughness(pipe.number("roughness")),
            pipe.number("minor_loss"),
            pipe.word("status") or "OPEN",
        )

    def _pump(self, link: Connected) -> str:
        pump = link.link
        power_w = _THOUSAND if self._units.is_metric else HORSEPOWER_W
        words = (
            [f"HEAD {pump.word('curve')}"] if pump.word("curve") else [f"POWER {pump.number('power') / power_w:.12g}"]
        )
        if "speed" in pump.values:
            words.append(f"SPEED {pump.number('speed'):.12g}")
        if pump.word("pattern"):
            words.append(f"PATTERN {pump.word('pattern')}")
        return _row(pump.element_id, link.start, link.end, *words)

    def _valve(self, link: Connected) -> str:
        valve = link.link
        diameter = valve.number("diameter") / self._units.diameter_m
        words = (valve.word("type").upper(), self.setting(valve), valve.number("minor_loss"))
        return _row(valve.element_id, link.start, link.end, diameter, *words)

    def _length(self, node: Element, name: str) -> float:
        return node.number(name) / self._units.length_m


def _section(name: str, rows: Iterable[str]) -> str:
    return "\n".join([f"[{name}]", *rows, ""])


def _row(*words: object) -> str:
    """Return a line. Twelve digits hold all that was measured, and not what was lost on the way through SI."""
    return " ".join(f"{word:.12g}" if isinstance(word, float) else str(word) for word in words if word != "")
