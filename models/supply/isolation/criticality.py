"""What the loss of each pipe costs: its segment is cut off for as long as is asked, pressure-driven, one after another.

Pipes of one segment are lost together, so each segment is run once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.pool import EnginePool
from models.supply.epanet import LinkType
from models.supply.isolation.answer import Terms
from models.supply.isolation.plan import Isolator
from models.supply.open_supply import open_supply
from models.supply.outage import Closure, answers_in_turn, run_closure, shortfall
from models.supply.results import HOUR_S
from twin.criticality import SegmentLoss
from twin.errors import ModelError


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments with pipes in them, what is cut with each, and what is cut or dry with everything open."""

    segments: tuple[SegmentLoss, ...]
    cut_links: tuple[tuple[str, ...], ...]
    always_cut: tuple[str, ...]
    dry_anyway: tuple[str, ...]
    valves_assumed: bool
    engine: str


def find_segments(inp: bytes, terms: Terms, pool: EnginePool) -> Segments:
    """Return the segments of a network, in the order of their first pipes.

    Raises:
        InputError: If the INP is refused, or a valve's place or name is not in it.
    """
    return pool.run(_segments, inp, terms)


def losses_in_turn(inp: bytes, found: Segments, terms: Terms, hours: int, pool: EnginePool) -> Iterator[SegmentLoss]:
    """Yield the loss of nothing, and then that of each segment in turn.

    Raises:
        ModelError: If a batch crashed its worker or took too long.
    """
    closures = [
        Closure(links, 0, hours * HOUR_S, terms.required_pressure_m) for links in (found.always_cut, *found.cut_links)
    ]
    nothing = SegmentLoss((), (), found.dry_anyway, ())
    answers = answers_in_turn(shortfalls, inp, closures, pool)
    for segment, answer in zip((nothing, *found.segments), answers, strict=True):
        yield replace(segment, **answer)


def shortfalls(inp: bytes, closures: Sequence[Closure], wall_limit_s: float) -> list[dict[str, Any]]:
    """Return in an engine worker, for each closure, what of a `SegmentLoss` only a run can tell."""
    supply = open_supply(inp)
    names = np.array(supply.facts.node_ids)
    answers: list[dict[str, Any]] = []
    for closure in closures:
        try:
            results = run_closure(supply, closure, wall_limit_s=wall_limit_s / len(closures))
        except ModelError as error:
            answers.append({"error": str(error)})
            continue
        found = shortfall(results, supply.facts, closure)
        first_h = found.first_short_at_h[found.is_short]
        answers.append(
            {
                "junctions_short": tuple(names[found.is_short].tolist()),
                "first_short_at_h": float(np.nanmin(first_h)) if len(first_h) else None,
                "undelivered_m3": float((found.demand_m3 - found.delivered_m3).sum()),
            }
        )
    return answers


def _segments(inp: bytes, terms: Terms) -> Segments:
    facts = open_supply(inp).facts
    layer = terms.layer(facts)
    isolator = Isolator(facts, layer)
    pipes = {
        link_id
        for link_id, kind in zip(facts.link_ids, facts.link_types, strict=True)
        if kind in (LinkType.PIPE, LinkType.CVPIPE)
    }
    segments, cut_links, done = [], [], set[str]()
    for link_id in facts.link_ids:
        if link_id not in pipes or link_id in done:
            continue
        plan = isolator.of_link(link_id)
        together = tuple(link for link in plan.segment_links if link in pipes)
        done.update(together)
        segments.append(SegmentLoss(together, plan.valves, plan.dry_nodes, plan.unintended_nodes))
        cut_links.append(isolator.cut_links(plan))
    return Segments(
        tuple(segments), tuple(cut_links), isolator.always_cut, isolator.dry_anyway, layer.assumed, facts.engine
    )
