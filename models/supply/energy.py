"""What pumps use: P = rho g Q H / eta, with the efficiency that the model has for the flow (EPANET 2.2 manual, 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.supply.epanet import LinkType, LinkValue, Option, Project
from models.supply.facts import Floats, ModelFacts
from models.supply.results import Results

_SPECIFIC_WEIGHT_NM3 = 9806.65
_J_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class PumpUse:
    """What a pump did in a run: for how long it ran, what it moved, and what that took.

    `standardised_kwh_m3_100m` is the energy for a cubic metre lifted by 100 m (IWA Ph5), None if nothing was lifted.
    """

    running_h: float
    volume_m3: float
    energy_kwh: float
    standardised_kwh_m3_100m: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Efficiency:
    """A pump's efficiency (0 to 1) over its flow (m3/s), held at the ends of what is known."""

    flow_m3s: Floats
    share: Floats

    def at(self, flow_m3s: Floats) -> Floats:
        """Return the efficiency at flows."""
        return np.interp(flow_m3s, self.flow_m3s, self.share)


def efficiencies(project: Project) -> dict[int, Efficiency]:
    """Return the efficiency of every pump by its position (from 0) among the links."""
    overall = project.option(Option.PUMP_EFFICIENCY) / 100
    found = {}
    for position, kind in enumerate(project.link_types()):
        if kind is LinkType.PUMP:
            curve = int(project.link_value(position + 1, LinkValue.EFFICIENCY_CURVE))
            flow, percent = project.curve(curve) if curve else (np.zeros(1), np.full(1, 100 * overall))
            found[position] = Efficiency(np.asarray(flow) * project.units.flow_m3s, np.asarray(percent) / 100)
    return found


def pump_use(results: Results, facts: ModelFacts, efficiency: Mapping[int, Efficiency]) -> dict[str, PumpUse]:
    """Return what each pump did in a run, summed as rate times step."""
    steps_s = np.diff(results.times_s).astype(np.float64)
    used = {}
    for position, of in efficiency.items():
        flow = np.abs(results.flow_m3s[:-1, position])
        running = results.is_open[:-1, position] & (flow > 0)
        lift_m = results.head_m[:-1, facts.link_end[position]] - results.head_m[:-1, facts.link_start[position]]
        share = np.maximum(of.at(flow), 1e-3)
        watts = np.where(running, _SPECIFIC_WEIGHT_NM3 * flow * np.maximum(lift_m, 0.0) / share, 0.0)
        energy_kwh = float((watts * steps_s).sum()) / _J_PER_KWH
        lifted = float((np.where(running, flow * np.maximum(lift_m, 0.0), 0.0) * steps_s).sum()) / 100
        used[facts.link_ids[position]] = PumpUse(
            running_h=float(steps_s[running].sum()) / 3600,
            volume_m3=float((np.where(running, flow, 0.0) * steps_s).sum()),
            energy_kwh=energy_kwh,
            standardised_kwh_m3_100m=energy_kwh / lifted if lifted > 0 else None,
        )
    return used
