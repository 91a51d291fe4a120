"""Scenarios that begin with the network as it is now, under one course of demand or many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.demand.spread import member_multipliers
from models.supply.ensemble import percentile
from models.supply.facts import Floats
from models.supply.members import LEAST_MEMBERS
from models.supply.state import SupplyState

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Present:
    """The state at T0, and the multipliers of demand of each member (members, districts, hours)."""

    state: SupplyState
    multipliers: Floats

    @classmethod
    def of(cls, state: SupplyState, members: int) -> Present:
        """Join a state and as many courses of demand as are asked for."""
        drawn = member_multipliers(state.demand, state.spreads, members) if members else np.empty((0, 0, 0))
        return cls(state, drawn)

    @property
    def courses(self) -> Iterator[SupplyState]:
        """The state with the demand of each member."""
        for multipliers in self.multipliers:
            yield replace(self.state, multipliers=multipliers)


def together(members: Sequence[Answer], asked: int) -> Answer:
    """Return what members' answers say together: who is short how likely and from when on, and which tanks run empty.

    Percentiles of hours are over the members in which it happens. Below ten members nothing but their number is said.
    """
    said: Answer = {"members": len(members), "members_failed": asked - len(members)}
    if len(members) < LEAST_MEMBERS:
        return said
    short = [
        {name: member["junctions"][name]["first_short_at_h"] for name in member["junctions_short"]}
        for member in members
    ]
    empty = [
        {name: tank["empty_at_h"] for name, tank in member["tanks"].items() if tank["empty_at_h"] is not None}
        for member in members
    ]
    return {**said, "junctions_short": _likely(short), "tanks_empty": _likely(empty)}


def _likely(happens_at_h: Sequence[dict[str, float | None]]) -> Answer:
    likely = {}
    for name in sorted({name for member in happens_at_h for name in member}):
        hours = [float(at_h or 0.0) for member in happens_at_h if name in member for at_h in [member[name]]]
        likely[name] = {
            "probability": len(hours) / len(happens_at_h),
            "p10_h": percentile(hours, 0.1),
            "p50_h": percentile(hours, 0.5),
            "p90_h": percentile(hours, 0.9),
        }
    return likely
