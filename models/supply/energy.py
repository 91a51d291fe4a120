"""What pumps use: P = rho g Q H / eta, with the efficiency that the model has for the flow (EPANET 2.2 manual, 3.1).

What it costs is the energy of each step times the model's price at its beginning: the pump's own price and price
pattern, else those of the whole network ([ENERGY] section of the INP), in the currency that the model is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.supply.epanet import LinkType, LinkValue, Option, Project
from models.supply.facts import Floats, Integers, ModelFacts
from models.supply.results import Results

_SPECIFIC_WEIGHT_NM3 = 9806.65
_J_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class PumpUse:
    """What a pump did in a run: for how long it ran, what it moved, and what that took.

    `standardised_kwh_m3_100m` is the energy for a cubic metre lifted by 100 m (IWA Ph5), None if nothing was lifted.
    `cost` is in the model's currency, None where the model has no price.
    """

    running_h: float
    volume_m3: float
    energy_kwh: float
    standardised_kwh_m3_100m: float | None
    cost: float | None


@dataclass(frozen=True, slots=True, eq=False)
class PumpRate:
    """What a pump's work takes: its efficiency (0 to 1) over its flow (m3/s), held at the ends of what is known, and
    the price of a kWh by the model's time: `price` times the pattern.
    """

    flow_m3s: Floats
    efficiency: Floats
    price: float
    price_pattern: Floats

    def efficiency_at(self, flow_m3s: Floats) -> Floats:
        """Return the efficiency at flows."""
        return np.interp(flow_m3s, self.flow_m3s, self.efficiency)

    def price_at(self, periods: Integers) -> Floats:
        """Return the price of a kWh in periods of the model's patterns, counted from their start."""
        prices: Floats = self.price * self.price_pattern[periods % len(self.price_pattern)]
        return prices


def pump_rates(project: Project) -> dict[int, PumpRate]:
    """Return the rate of every pump by its position (from 0) among the links."""
    overall = project.option(Option.PUMP_EFFICIENCY) / 100
    price, pattern = project.option(Option.ENERGY_PRICE), int(project.option(Option.ENERGY_PRICE_PATTERN))
    found = {}
    for position, kind in enumerate(project.link_types()):
        if kind is not LinkType.PUMP:
            continue
        link = position + 1
        curve = int(project.link_value(link, LinkValue.EFFICIENCY_CURVE))
        flow, percent = project.curve(curve) if curve else (np.zeros(1), np.full(1, 100 * overall))
        own_pattern = int(project.link_value(link, LinkValue.ENERGY_PRICE_PATTERN)) or pattern
        found[position] = PumpRate(
            np.asarray(flow) * project.units.flow_m3s,
            np.asarray(percent) / 100,
            project.link_value(link, LinkValue.ENERGY_PRICE) or price,
            project.pattern(own_pattern) if own_pattern else np.ones(1),
        )
    return found


def pump_use(
    results: Results, facts: ModelFacts, rates: Mapping[int, PumpRate], *, pattern_start_s: int
) -> dict[str, PumpUse]:
    """Return what each pump did in a run whose patterns began at `pattern_start_s`, summed as rate times step."""
    steps_s = np.diff(results.times_s).astype(np.float64)
    periods = (results.times_s[:-1] + pattern_start_s) // facts.clock.pattern_step_s
    used = {}
    for position, rate in rates.items():
        flow = np.abs(results.flow_m3s[:-1, position])
        running = results.is_open[:-1, position] & (flow > 0)
        lift_m = results.head_m[:-1, facts.link_end[position]] - results.head_m[:-1, facts.link_start[position]]
        efficiency = np.maximum(rate.efficiency_at(flow), 1e-3)
        watts = np.where(running, _SPECIFIC_WEIGHT_NM3 * flow * np.maximum(lift_m, 0.0) / efficiency, 0.0)
        energy_kwh = watts * steps_s / _J_PER_KWH
        lifted = float((np.where(running, flow * np.maximum(lift_m, 0.0), 0.0) * steps_s).sum()) / 100
        used[facts.link_ids[position]] = PumpUse(
            running_h=float(steps_s[running].sum()) / 3600,
            volume_m3=float((np.where(running, flow, 0.0) * steps_s).sum()),
            energy_kwh=float(energy_kwh.sum()),
            standardised_kwh_m3_100m=float(energy_kwh.sum()) / lifted if lifted > 0 else None,
            cost=float((energy_kwh * rate.price_at(periods)).sum()) if rate.price > 0 else None,
        )
    return used
