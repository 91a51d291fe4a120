"""Which nodes the links connect, and what is odd about it: ends that meet nothing, crossings, islands.

Ends are joined to the nearest node within the snapping tolerance, never moved further. Nothing is mended: a drawing is
believed or refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from models.supply.gis.elements import Element
from models.supply.gis.features import Point
from models.supply.gis.ground import Ground
from models.supply.gis.problems import Problem, ProblemKind

_SOURCES = ("reservoirs", "tanks")
_LENGTH_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class Connected:
    """A link with its nodes. A pipe's length is the one it states, else that of its drawing."""

    link: Element
    start: str
    end: str
    length_m: float


class Topology:
    """Works out connections. `nodes` are by id, `problems` grow as links are connected and looked at."""

    def __init__(self, nodes: Mapping[str, Element], ground: Ground, snap_m: float) -> None:
        from scipy.spatial import cKDTree

        self._nodes, self._ground, self._snap_m = nodes, ground, snap_m
        self._ids = list(nodes)
        self._flat = {name: ground.flat_m(node.points[0]) for name, node in nodes.items()}
        self._tree = cKDTree(np.array([self._flat[name] for name in self._ids])) if nodes else None
        self.problems: list[Problem] = []

    def connect(self, link: Element) -> Connected | None:
        """Return a link with its nodes, or None where it has none; the problems say why."""
        start, end = self._end(link, "start", 0), self._end(link, "end", -1)
        if start is None or end is None:
            return None
        if start == end:
            self._note(ProblemKind.LOOP, link, self._nodes[start].points[0], f"it starts and ends at {start}")
            return None
        length_m = self._length_m(link, start, end)
        if link.layer == "pipes" and not length_m > 0:
            self._note(ProblemKind.ZERO_LENGTH, link, link.place, "it has no length")
            return None
        return Connected(link, start, end, length_m)

    def look_at(self, links: Sequence[Connected]) -> None:
        """Look for what is odd about the whole."""
        if self._ground.is_measured:
            self._find_coincident_nodes()
            self._find_touching(links)
        self._find_islands(links)

    def _end(self, link: Element, name: str, at: int) -> str | None:
        """Return the node at one end of a link: the one it names, else the nearest within the tolerance."""
        named = link.word(name)
        if named:
            if named not in self._nodes:
                self._note(ProblemKind.UNKNOWN_NODE, link, link.place, f"its {name} is {named}, which is no node")
                return None
            self._check_drawn_there(link, name, named, at)
            return named
        if not self._ground.is_measured or self._tree is None or len(link.points) < 2:
            text = f"it names no {name}, and there is no drawing to measure"
            self._note(ProblemKind.UNCONNECTED_END, link, link.place, text)
            return None
        distance_m, nearest = self._tree.query(self._ground.flat_m(link.points[at]))
        if distance_m > self._snap_m:
            text = f"its {name} meets no node; the nearest is {self._ids[int(nearest)]}, {distance_m:.2f} m away"
            self._note(ProblemKind.UNCONNECTED_END, link, link.points[at], text)
            return None
        return self._ids[int(nearest)]

    def _check_drawn_there(self, link: Element, name: str, node: str, at: int) -> None:
        if not self._ground.is_measured or len(link.points) < 2:
            return
        away_m = math.dist(self._ground.flat_m(link.points[at]), self._flat[node])
        if away_m > self._snap_m:
            text = f"its {name} is {node}, but is drawn {away_m:.2f} m away from it"
            self._note(ProblemKind.END_ELSEWHERE, link, link.points[at], text)

    def _length_m(self, link: Element, start: str, end: str) -> float:
        line = link.points if len(link.points) > 1 else (self._nodes[start].points[0], self._nodes[end].points[0])
        drawn_m = self._ground.length_m(line) if self._ground.is_measured else 0.0
        stated_m = link.number("length", drawn_m)
        if drawn_m > self._snap_m and not 1 / _LENGTH_RATIO <= stated_m / drawn_m <= _LENGTH_RATIO:
            text = f"its length is {stated_m:g} m, but it is drawn {drawn_m:.1f} m long; is the unit right?"
            self._note(ProblemKind.LENGTH_DIFFERS, link, link.place, text)
        return stated_m

    def _find_coincident_nodes(self) -> None:
        if self._tree is None or not self._snap_m:
            return
        for one, other in sorted(self._tree.query_pairs(self._snap_m)):
            node, name = self._nodes[self._ids[one]], self._ids[other]
            self._note(ProblemKind.COINCIDENT_NODES, node, node.points[0], f"{name} lies on it, and is another node")

    def _find_touching(self, links: Sequence[Connected]) -> None:
        """Find pipes that cross, or pass a node, without being connected there."""
        pieces = _Pieces(links, self._ground, self._flat)
        near_m = max(self._snap_m, 1e-6)
        for link, name in pieces.passed_nodes(self._flat, near_m):
            self._note(ProblemKind.NODE_ON_PIPE, link, self._nodes[name].points[0], f"it passes {name} unconnected")
        for one, other, place in pieces.crossings(near_m):
            self._note(ProblemKind.CROSSING, one, place, f"it crosses {other.element_id} without a node")

    def _find_islands(self, links: Sequence[Connected]) -> None:
        """Find nodes that no link meets, and parts without a tank or reservoir."""
        part = {name: name for name in self._nodes}

        def root(name: str) -> str:
            while part[name] != name:
                part[name] = part[part[name]]
                name = part[name]
            return name

        for link in links:
            part[root(link.start)] = root(link.end)
        met = {name for link in links for name in (link.start, link.end)}
        supplied = {root(name) for name, node in self._nodes.items() if node.layer in _SOURCES}
        size = Counter(root(name) for name in self._nodes)
        told: set[str] = set()
        for name, node in self._nodes.items():
            if name not in met:
                self._note(ProblemKind.UNCONNECTED_NODE, node, node.points[0], "no link meets it")
            elif root(name) not in supplied | told:
                told.add(root(name))
                text = f"{size[root(name)]} nodes, this one first, have no way to a tank or reservoir"
                self._note(ProblemKind.ISLAND, node, node.points[0], text)

    def _note(self, kind: ProblemKind, element: Element, place: Point | None, text: str) -> None:
        self.problems.append(Problem(kind, element.layer, element.element_id, place, text))


def parallel(links: Sequence[Connected]) -> list[list[str]]:
    """Return the ids of links that lie between the same two nodes, group by group."""
    between: dict[frozenset[str], list[str]] = {}
    for link in links:
        between.setdefault(frozenset((link.start, link.end)), []).append(link.link.element_id)
    return [ids for ids in between.values() if len(ids) > 1]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A straight piece of a pipe, on the plane; `ends` are the flat places of the pipe's nodes."""

    pipe: Connected
    a: Point
    b: Point


class _Pieces:
    """The straight pieces of all pipes, in the cells of a grid, so that only neighbours are compared."""

    def __init__(self, links: Sequence[Connected], ground: Ground, flat: Mapping[str, Point]) -> None:
        self._flat = flat
        self._points: dict[int, tuple[Point, Point]] = {}
        self._all: list[_Piece] = []
        for link in links:
            if link.link.layer != "pipes" or len(link.link.points) < 2:
                continue
            line = [flat[link.start], *(ground.flat_m(p) for p in link.link.points[1:-1]), flat[link.end]]
            for n, (a, b) in enumerate(pairwise(line)):
                self._points[len(self._all)] = (link.link.points[n], link.link.points[n + 1])
                self._all.append(_Piece(link, a, b))
        lengths = sorted(math.dist(piece.a, piece.b) for piece in self._all)
        self._cell_m = max(2 * lengths[len(lengths) // 2], lengths[-1] / 200, 1e-3) if lengths else 1.0
        self._cells: dict[tuple[int, int], list[int]] = {}
        for n, piece in enumerate(self._all):
            for cell in self._cells_of(piece.a, piece.b, 0.0):
                self._cells.setdefault(cell, []).append(n)

    def _cells_of(self, a: Point, b: Point, margin_m: float) -> Iterator[tuple[int, int]]:
        low = [math.floor((min(p, q) - margin_m) / self._cell_m) for p, q in zip(a, b, strict=True)]
        high = [math.floor((max(p, q) + margin_m) / self._cell_m) for p, q in zip(a, b, strict=True)]
        return ((x, y) for x in range(low[0], high[0] + 1) for y in range(low[1], high[1] + 1))

    def passed_nodes(self, nodes: Mapping[str, Point], near_m: float) -> Iterator[tuple[Element, str]]:
        """Yield pipes with the nodes that lie on them and are not theirs."""
        for name, place in nodes.items():
            told: set[str] = set()
            for n in {n for cell in self._cells_of(place, place, near_m) for n in self._cells.get(cell, ())}:
                piece = self._all[n]
                pipe = piece.pipe
                if name in (pipe.start, pipe.end) or pipe.link.element_id in told:
                    continue
                if _distance_m(place, piece) <= near_m and not self._is_at_end(place, pipe, near_m):
                    told.add(pipe.link.element_id)
                    yield pipe.link, name

    def crossings(self, near_m: float) -> Iterator[tuple[Element, Element, Point]]:
        """Yield pairs of pipes that cross away from their ends, with the place in the layers' coordinates."""
        told: set[tuple[int, int]] = set()
        for inside in self._cells.values():
            for n, m in combinations(inside, 2):
                one, other = self._all[n], self._all[m]
                if one.pipe is other.pipe or (n, m) in told:
                    continue
                share = _crossing(one, other)
                if share is None:
                    continue
                place = _between(one.a, one.b, share)
                if self._is_at_end(place, one.pipe, near_m) or self._is_at_end(place, other.pipe, near_m):
                    continue
                told.add((n, m))
                yield one.pipe.link, other.pipe.link, _between(*self._points[n], share)

    def _is_at_end(self, place: Point, pipe: Connected, near_m: float) -> bool:
        return any(math.dist(place, self._flat[name]) <= near_m for name in (pipe.start, pipe.end))


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])


def _distance_m(place: Point, piece: _Piece) -> float:
    """Return how far a point lies from a straight piece."""
    along = (piece.b[0] - piece.a[0], piece.b[1] - piece.a[1])
    length2 = along[0] ** 2 + along[1] ** 2
    if length2 == 0.0:
        return math.dist(place, piece.a)
    share = ((place[0] - piece.a[0]) * along[0] + (place[1] - piece.a[1]) * along[1]) / length2
    return math.dist(place, _between(piece.a, piece.b, min(1.0, max(0.0, share))))


def _crossing(one: _Piece, other: _Piece) -> float | None:
    """Return at which share of its length one piece is crossed by the other; None if they do not meet in a point."""
    r = (one.b[0] - one.a[0], one.b[1] - one.a[1])
    s = (other.b[0] - other.a[0], other.b[1] - other.a[1])
    turn = r[0] * s[1] - r[1] * s[0]
    if turn == 0.0:
        return None
    gap = (other.a[0] - one.a[0], other.a[1] - one.a[1])
    share = (gap[0] * s[1] - gap[1] * s[0]) / turn
    share_of_other = (gap[0] * r[1] - gap[1] * r[0]) / turn
    return share if 0.0 <= share <= 1.0 and 0.0 <= share_of_other <= 1.0 else None
