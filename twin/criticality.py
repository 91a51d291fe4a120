"""How much hangs on each pipe: what is lost while the segment that it lies in is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twin.customers import Customer, Sensitivity, customers_at


@dataclass(frozen=True, slots=True)
class SegmentLoss:
    """What goes wrong while one segment is cut off from the run's start on; `error` says why that is not known.

    `dry_nodes` have no way to water, `unintended_nodes` are those of them outside the segment that have one otherwise.
    `junctions_short` get less than 80 % of what they want, the first of them from `first_short_at_h` on.
    """

    pipes: tuple[str, ...]
    valves: tuple[str, ...]
    dry_nodes: tuple[str, ...]
    unintended_nodes: tuple[str, ...]
    junctions_short: tuple[str, ...] = ()
    first_short_at_h: float | None = None
    undelivered_m3: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class PipeCriticality:
    """What one pipe's loss costs, beside what is lost with everything open. Customers are None where none are known."""

    pipe_id: str
    loss: SegmentLoss
    newly_without: tuple[str, ...]
    customers: int | None
    sensitive: tuple[str, ...] | None

    @property
    def is_single_point_of_failure(self) -> bool:
        """Whether others than its own segment have no way to water without it."""
        return bool(self.loss.unintended_nodes)


def ranked(
    losses: Sequence[SegmentLoss], without_anyway: Sequence[str], customers: Sequence[Customer] | None
) -> list[PipeCriticality]:
    """Return every pipe, the one that costs most first; those of which nothing is known come first of all.

    What counts is, in this order: customers without water, sensitive ones among them, nodes, volume, and the hour.
    """
    anyway = set(without_anyway)
    found = [pipe for loss in losses for pipe in _pipes(loss, anyway, customers)]
    return sorted(found, key=_rank)


def _pipes(loss: SegmentLoss, anyway: set[str], customers: Sequence[Customer] | None) -> list[PipeCriticality]:
    newly = tuple(sorted({*loss.junctions_short, *loss.dry_nodes} - anyway))
    hit = None if customers is None else customers_at(customers, newly)
    sensitive = (
        None if hit is None else tuple(each.customer_id for each in hit if each.sensitive is not Sensitivity.NONE)
    )
    return [
        PipeCriticality(pipe_id, loss, newly, None if hit is None else len(hit), sensitive) for pipe_id in loss.pipes
    ]


def _rank(pipe: PipeCriticality) -> tuple[bool, int, int, int, float, float, str]:
    first_h = pipe.loss.first_short_at_h
    return (
        not pipe.loss.error,
        -(pipe.customers or 0),
        -len(pipe.sensitive or ()),
        -len(pipe.newly_without),
        -pipe.loss.undelivered_m3,
        float("inf") if first_h is None else first_h,
        pipe.pipe_id,
    )
