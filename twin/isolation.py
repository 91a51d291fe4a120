"""What it takes to cut a broken pipe off, and whom that leaves without water: words, no computing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IsolationQuestion:
    """What is to be cut off, and what is known of valves now beside what the layer says."""

    element_id: str
    is_link: bool
    inoperable: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    hydraulics: bool = True


@dataclass(frozen=True, slots=True)
class TankFed:
    """Nodes that only tanks still feed; `lasts_h` is None where nobody there takes water."""

    tanks: tuple[str, ...]
    nodes: tuple[str, ...]
    lasts_h: float | None


@dataclass(frozen=True, slots=True)
class Refeed:
    """Something shut that could be opened meanwhile: a valve, or a link that the model has closed (then `valve_id` is
    the link's). `nodes` are junctions that have a way to water with it and none without.
    """

    valve_id: str
    link_id: str
    is_valve: bool
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Isolation:
    """The valves to close, in order, and what is cut off with the segment.

    `dry_nodes` are junctions within the segment or left without a way to a reservoir or tank outside it; those outside
    it (`unintended_nodes`) are cut off although nothing is wrong with them. `stuck_valves` cannot be turned and made
    the segment larger than it would be.
    """

    valves: tuple[str, ...]
    valves_assumed: bool
    segment_nodes: tuple[str, ...]
    segment_links: tuple[str, ...]
    dry_nodes: tuple[str, ...]
    unintended_nodes: tuple[str, ...]
    tank_fed: tuple[TankFed, ...]
    stuck_valves: tuple[str, ...]
