"""The look-ahead's ensemble: the same network and state with other courses of demand, each run in an engine worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from models.demand.spread import member_multipliers
from models.pool import EnginePool
from models.supply.facts import Floats, ModelFacts
from models.supply.lookahead import Lookahead, LookaheadTask, look_ahead
from models.supply.quality import quality_ahead
from models.supply.results import HOUR_S
from twin.errors import ModelError
from twin.forecasts import FailedMember, QualityOutlook

LEAST_MEMBERS = 10
"""Fewer members tell no probability."""

_AT_ONCE = 5
_MOST_NODE_HOURS = 5_000_000
"""What members may cost in all: some 10 s on two cores. Counted, not timed, so that a replay has the same members."""


def members_within_reach(asked: int, facts: ModelFacts, horizon_s: int) -> int:
    """Return how many members are run: as asked, or none on a network too large for `LEAST_MEMBERS` in a cycle."""
    affordable = _MOST_NODE_HOURS // max(len(facts.node_ids) * (horizon_s // HOUR_S), 1)
    return 0 if affordable < LEAST_MEMBERS else min(asked, affordable)


@dataclass(frozen=True, slots=True)
class Answers:
    """The look-ahead of the median course of demand, those of the members or why they failed, and the water's quality,
    or why it is not known (None: the model follows none).
    """

    median: Lookahead
    members: tuple[Lookahead | str, ...]
    quality: QualityOutlook | str | None

    @property
    def done(self) -> list[Lookahead]:
        """The members that gave an answer."""
        return [member for member in self.members if not isinstance(member, str)]

    @property
    def failed(self) -> tuple[FailedMember, ...]:
        """The members that gave none, numbered from 1."""
        return tuple(
            FailedMember(str(number), member)
            for number, member in enumerate(self.members, start=1)
            if isinstance(member, str)
        )


def run_with_members(task: LookaheadTask, members: int, pool: EnginePool, *, with_quality: bool = False) -> Answers:
    """Run the median course of demand, the members, and the quality of the water if it is asked for.

    Raises:
        ModelError: If the median course gives no believable answer.
        InputError: If the INP is refused.
    """
    state, limit_s = task.state, task.wall_limit_s / 0.9
    multipliers = member_multipliers(state.demand, state.spreads, members) if members else np.empty((0, 0, 0))
    portions = [multipliers[first : first + _AT_ONCE] for first in range(0, members, _AT_ONCE)]

    def ask(some: Floats) -> list[Lookahead | str]:
        try:
            return pool.run(_members, task, some, time_limit_s=limit_s)
        except ModelError as error:  # of the worker: what a member's run says comes as words
            return [str(error)] * len(some)

    def ask_for_quality() -> QualityOutlook | str:
        try:
            return pool.run(quality_ahead, task, time_limit_s=limit_s)
        except ModelError as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=pool.workers) as callers:
        median = callers.submit(pool.run, look_ahead, task, time_limit_s=limit_s)
        quality = callers.submit(ask_for_quality) if with_quality else None
        others = [callers.submit(ask, portion) for portion in portions]
        try:
            return Answers(
                median.result(),
                tuple(answer for portion in others for answer in portion.result()),
                quality.result() if quality else None,
            )
        finally:
            for portion in others:
                portion.cancel()


def _members(task: LookaheadTask, multipliers: Floats) -> list[Lookahead | str]:
    return [
        _attempt(replace(task, places=(), state=replace(task.state, multipliers=of_member)))
        for of_member in multipliers
    ]


def _attempt(task: LookaheadTask) -> Lookahead | str:
    try:
        return look_ahead(task)
    except ModelError as error:
        return str(error)
