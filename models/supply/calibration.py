"""Calibration: roughness by groups of pipes and demand by districts, from readings, held by stated priors.

Parameters are the logarithms x of factors on what the model's file says. Their priors are Gaussian with mean 0 (the
file is right) and a standard deviation `s` that says how wrong files usually are:

roughness (Hazen-Williams C, Manning n)  0.15, for all pipes of a group: one roughness in the file, one diameter class
roughness (Darcy-Weisbach)               0.50
demand of a district without a balance   0.20; where inflow and tanks give a balance, that is the demand

Gauss-Newton minimises `sum (z^2) N / T + sum (x / s)^2` with z the residuals of T moments over `SD_M` (pressures) or
`SD_SHARE` (flows): hours follow each other closely, so that a window counts as N = `WORTH` independent moments at most.
Steps are halved until they help, derivatives are differences of runs.

There are few parameters, each for many pipes, and none may go further than `BOUND_SD` of its prior. A closed valve or
a leak is not to be calibrated away all the same: the best explanations by a link's status or a leak are each put into
the model, which is then calibrated again. One that lowers the minimum of the sum above to `INSTEAD` of it, and by
`INSTEAD_BY` at least, is the better explanation; so is what the search for mismatches names before or after. Then, or
with a parameter at its bound, the calibration is not recommended: what is wrong must be put right first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

import numpy as np

from models.pool import EnginePool
from models.supply.districts import metered_links, names_at_nodes, with_districts
from models.supply.epanet import HeadLossFormula, LinkType, LinkValue, Option
from models.supply.facts import Floats, Integers, ModelFacts
from models.supply.loader import load_model
from models.supply.mismatch import find_mismatch
from models.supply.moments import NOTHING, Leak, Moments, moments_of
from models.supply.open_supply import open_supply
from models.supply.tracks import Track
from models.supply.watch import Booleans, Watch, watch
from twin.clock import format_time
from twin.errors import InputError
from twin.mismatch import LESS, Candidate, Mismatch, Verdict
from twin.network import Network

SD_M = 0.10
SD_SHARE = 0.02
_LEAST_SD_M3S = 2e-4
WORTH = 8
BOUND_SD = 2.0
AFTER_SD_M = 0.10
"""How far pressures of a calibrated model may be off, for the search for mismatches in it."""

INSTEAD = 0.5
INSTEAD_BY = 9.0
_TRIED_INSTEAD = 6

_ROUGHNESS_SD = {HeadLossFormula.DARCY_WEISBACH: 0.50}
_ROUGHNESS_SD_ELSE = 0.15
_DEMAND_SD = 0.20
_CLASSES_MM = (125.0, 250.0, 450.0)
_LEAST_SHARE = 0.02
_ITERATIONS = 8
_HALVINGS = 5
_PROBE = 0.02
_DONE = 1e-3
_LEAST_MOMENTS = 6


@dataclass(frozen=True, slots=True)
class Parameter:
    """One factor. `moved_sd` is how far it went from its prior, `sd_after` what is still unknown of its logarithm."""

    name: str
    kind: str
    factor: float
    prior_factor: float
    prior_sd: float
    moved_sd: float
    sd_after: float
    at_bound: bool
    pipes: int = 0


@dataclass(frozen=True, slots=True)
class Instead:
    """A status or leak that explains the readings better than the calibration: the least sum with it, and without."""

    candidate: Candidate
    cost: float
    cost_of_calibration: float

    @property
    def words(self) -> str:
        """The finding for a person."""
        return (
            f"{self.candidate.words} explains the readings better than the calibration does "
            f"(cost {self.cost:.0f} instead of {self.cost_of_calibration:.0f})"
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """What came of a calibration. `roughness_factor` is per link, `demand_factor` per node, in the engine's order."""

    parameters: tuple[Parameter, ...]
    before_mae_m: float
    after_mae_m: float
    before_bias_m: float
    after_bias_m: float
    mismatch_before: Mismatch
    mismatch_after: Mismatch
    roughness_factor: tuple[float, ...]
    demand_factor: tuple[float, ...]
    instead: tuple[Instead, ...] = ()
    basis: tuple[str, ...] = ()

    @property
    def why_not(self) -> tuple[str, ...]:
        """Why the calibrated model should not be used; empty if it may be."""
        held = [f"{one.name} is held at its bound ({one.moved_sd:+.1f} sd)" for one in self.parameters if one.at_bound]
        if self.mismatch_before.named is not None:
            held.append(f"before the calibration {self.mismatch_before.words}")
        if self.mismatch_after.named is not None or self.mismatch_after.verdict is Verdict.AMBIGUOUS:
            held.append(f"after the calibration {self.mismatch_after.words}")
        held += [one.words for one in self.instead[:3]]
        if self.after_mae_m >= self.before_mae_m:
            held.append("it does not lower the mean error")
        return tuple(held)


def calibrate(
    inp: bytes,
    tracks: Sequence[Track],
    pool: EnginePool,
    *,
    start: datetime,
    end: datetime,
    zone: tzinfo,
    every_h: int = 3,
) -> Calibration:
    """Calibrate a model on the readings of [start, end), of which every `every_h`-th hour is used.

    Raises:
        InputError: If the INP is refused, the window is too short, or no pressure sensor is at a node of the model.
        ModelError: If the model cannot be solved.
    """
    hours = int((end - start).total_seconds() // 3600)
    moments = [start + timedelta(hours=hour) for hour in range(1, hours, every_h)]
    if len(moments) < _LEAST_MOMENTS:
        raise InputError(f"{len(moments)} moments are too few to calibrate on; give at least {_LEAST_MOMENTS}")
    loaded = load_model(inp, pool)
    sensors = [track.sensor for track in tracks]
    network = with_districts(loaded.network, metered_links(sensors), names_at_nodes(sensors))
    cut = tuple(track.between(start.timestamp(), end.timestamp() - 1) for track in tracks)
    limit_s = max(pool.time_limit_s, 300.0)
    return pool.run(_calibrate_here, inp, network, cut, tuple(moments), zone, time_limit_s=limit_s)


def describe(found: Calibration, *, start: datetime, end: datetime) -> dict[str, Any]:
    """Return a calibration as a JSON document, without the factors of each pipe."""
    return {
        "from": format_time(start),
        "to": format_time(end),
        "parameters": found.parameters,
        "before": {"mae_m": found.before_mae_m, "bias_m": found.before_bias_m, "mismatch": found.mismatch_before},
        "after": {"mae_m": found.after_mae_m, "bias_m": found.after_bias_m, "mismatch": found.mismatch_after},
        "instead": found.instead,
        "recommended": not found.why_not,
        "why_not": found.why_not,
        "basis": found.basis,
    }


def calibrated_inp(inp: str, facts: ModelFacts, found: Calibration) -> str:
    """Return the text of an INP with its roughness and base demands multiplied by what was found; all else stays."""
    roughness = dict(zip(facts.link_ids, found.roughness_factor, strict=True))
    demand = dict(zip(facts.node_ids, found.demand_factor, strict=True))
    section, lines = "", []
    for line in inp.splitlines():
        text, mark, comment = line.partition(";")
        words = text.split()
        if words and words[0].startswith("["):
            section = words[0].upper()
        elif section.startswith("[PIPE") and len(words) > 5 and words[0] in roughness:
            line = _with_factor(words, 5, roughness[words[0]], mark + comment)
        elif section.startswith("[DEMA") and len(words) > 1 and words[0] in demand:
            line = _with_factor(words, 1, demand[words[0]], mark + comment)
        elif section.startswith("[JUNC") and len(words) > 2 and words[0] in demand:
            line = _with_factor(words, 2, demand[words[0]], mark + comment)
        lines.append(line)
    return "\n".join([*lines, ""])


def _with_factor(words: list[str], place: int, factor: float, comment: str) -> str:
    value = float(words[place])
    if factor != 1.0 and value > 0:
        words = [*words[:place], f"{value * factor:.6g}", *words[place + 1 :]]
    return " ".join([*words, comment]).rstrip()


# ----------------------------------------------------------------------------------------------------- in a worker


def _calibrate_here(
    inp: bytes, network: Network, tracks: tuple[Track, ...], moments: tuple[datetime, ...], zone: tzinfo
) -> Calibration:
    supply = open_supply(inp)
    facts = supply.facts
    watched = watch(tracks, network, facts, moments, zone)
    if not len(watched.pressure_nodes):
        raise InputError("no pressure sensor is at a node of the model: nothing to calibrate on")
    districts = tuple(dict.fromkeys(network.district_of_node[node_id] for node_id in facts.node_ids))
    with moments_of(supply, watched) as held:
        diameter_mm = supply_values(held, LinkValue.DIAMETER) * held.units.diameter_m * 1000
        fit = _Fit(held, _free(held, watched, districts, diameter_mm))
        before = fit.expected(fit.x)
        mismatch_before = find_mismatch(held)
        suspects = find_mismatch(held, model_sd_m=SD_M, off_sd=0.0).candidates
        fit.run()
        after = fit.expected(fit.x)
        mismatch_after = find_mismatch(held, model_sd_m=AFTER_SD_M)
        instead = _instead(held, fit, [*suspects[:_TRIED_INSTEAD], *mismatch_after.candidates[:_TRIED_INSTEAD]])
    share = np.ones(len(districts))
    share[watched.balanced] = watched.scale[:, watched.balanced].mean(axis=0)
    unbalanced = ~watched.balanced
    share[unbalanced] = (watched.scale[:, unbalanced] * fit.share[unbalanced]).mean(axis=0)
    balanced = [
        Parameter(f"demand of {name}", "demand by balance", float(share[n]), 1.0, 0.0, 0.0, 0.0, False)
        for n, name in enumerate(districts)
        if watched.balanced[n] and watched.modelled_m3s[:, n].any()
    ]
    pressures = slice(0, len(watched.pressure_nodes))
    return Calibration(
        parameters=(*fit.parameters(), *balanced),
        before_mae_m=float(np.nanmean(np.abs(watched.observed - before)[:, pressures])),
        after_mae_m=float(np.nanmean(np.abs(watched.observed - after)[:, pressures])),
        before_bias_m=float(np.nanmean((before - watched.observed)[:, pressures])),
        after_bias_m=float(np.nanmean((after - watched.observed)[:, pressures])),
        mismatch_before=mismatch_before,
        mismatch_after=mismatch_after,
        roughness_factor=tuple(fit.roughness_factor.tolist()),
        demand_factor=tuple(share[watched.group_of_node].tolist()),
        instead=instead,
        basis=watched.basis,
    )


def _instead(held: Moments, fit: _Fit, suspects: Sequence[Candidate]) -> tuple[Instead, ...]:
    """Return the suspects that explain the readings better than the calibration does, the best first."""
    found, tried = [], set[tuple[str, str]]()
    for suspect in suspects:
        if suspect.what == LESS or (suspect.what, suspect.element_id) in tried:
            continue
        tried.add((suspect.what, suspect.element_id))
        other = _Fit(held, fit.free, suspect)
        other.run()
        if other.cost <= INSTEAD * fit.cost and fit.cost - other.cost >= INSTEAD_BY:
            found.append(Instead(suspect, other.cost, fit.cost))
    return tuple(sorted(found, key=lambda one: one.cost))


def supply_values(held: Moments, what: LinkValue) -> Floats:
    """Return a value of all links of the model that moments are solved with, in its units."""
    return held.project.link_values(what)


@dataclass(frozen=True, slots=True, eq=False)
class _Free:
    """A parameter to fit: the links whose roughness it multiplies, or the district whose demand it does."""

    name: str
    prior_sd: float
    links: Integers
    district: int = -1


def _free(held: Moments, watched: Watch, districts: tuple[str, ...], diameter_mm: Floats) -> list[_Free]:
    facts = held.facts
    pipes = np.array([kind in (LinkType.PIPE, LinkType.CVPIPE) for kind in facts.link_types])
    roughness = supply_values(held, LinkValue.ROUGHNESS)
    length = np.where(pipes, supply_values(held, LinkValue.LENGTH), 0.0)
    formula = HeadLossFormula(int(held.project.option(Option.HEAD_LOSS_FORMULA)))
    sd = _ROUGHNESS_SD.get(formula, _ROUGHNESS_SD_ELSE)
    size = np.searchsorted(_CLASSES_MM, diameter_mm)
    found = []
    for value, number in sorted({(float(r), int(c)) for r, c in zip(roughness[pipes], size[pipes], strict=True)}):
        members: Booleans = pipes & (roughness == value) & (size == number)
        if length[members].sum() >= _LEAST_SHARE * length.sum():
            low, high = (0.0, *_CLASSES_MM)[number], (*_CLASSES_MM, np.inf)[number]
            span = f"over {low:g} mm" if np.isinf(high) else f"{low:g} to {high:g} mm"
            found.append(_Free(f"roughness {value:g}, {span}", sd, np.flatnonzero(members)))
    none = np.empty(0, dtype=np.int64)
    for number, name in enumerate(districts):
        if not watched.balanced[number] and watched.modelled_m3s[:, number].any():
            found.append(_Free(f"demand of {name}", _DEMAND_SD, none, number))
    return found


def _put(held: Moments, suspect: Candidate | None) -> tuple[Mapping[int, bool], Leak | None]:
    """Return what is different in the model with a suspect put into it."""
    if suspect is None:
        return NOTHING, None
    facts = held.facts
    if not suspect.is_of_water:
        return {facts.link_ids.index(suspect.element_id): suspect.what != "closed"}, None
    node = facts.node_ids.index(suspect.element_id)
    lost = [held.leak_m3s(Leak(node, 1.0), row) for row in range(len(held.watched))]
    return NOTHING, Leak(node, suspect.leak_m3s / float(np.mean(lost)))


class _Fit:
    """Gauss-Newton within bounds."""

    def __init__(self, held: Moments, free: Sequence[_Free], suspect: Candidate | None = None) -> None:
        self._held, self.free = held, free
        self._flipped, self._leak = _put(held, suspect)
        self._watched = held.watched
        self.x = np.zeros(len(free))
        self.cost = float("inf")
        self._prior_sd = np.array([one.prior_sd for one in free])
        self._covariance = np.diag(self._prior_sd**2)
        pressures, places = len(self._watched.pressure_nodes), self._watched.places
        flow = np.nan_to_num(np.abs(self._watched.observed[:, pressures:]))
        self._sd = np.empty((len(self._watched), places))
        self._sd[:, :pressures] = SD_M
        self._sd[:, pressures:] = np.hypot(SD_SHARE * flow, _LEAST_SD_M3S)
        self._weight = min(1.0, WORTH / len(self._watched))
        self.roughness_factor = np.ones(len(held.facts.link_ids))
        self.share = np.ones(self._watched.demand_m3s.shape[1])

    def expected(self, x: Floats) -> Floats:
        """Return what sensors should say with the parameters at x."""
        self.roughness_factor = np.ones(len(self._held.facts.link_ids))
        self.share = np.ones(self._watched.demand_m3s.shape[1])
        for one, value in zip(self.free, x.tolist(), strict=True):
            self.roughness_factor[one.links] = np.exp(value)
            if one.district >= 0:
                self.share[one.district] = np.exp(value)
        self._held.set_factors(self.roughness_factor, self.share)
        rows = range(len(self._watched))
        return np.array([self._held.solve(row, flipped=self._flipped, leak=self._leak) for row in rows])

    def run(self) -> None:
        """Fit, and leave the model at what was found."""
        present = self.expected(self.x)
        self.cost = self._cost(self.x, present)
        for _ in range(_ITERATIONS if self.free else 0):
            slopes = self._slopes(present)
            gap = self._z(present)
            precision = self._weight * slopes.T @ slopes + np.diag(1 / self._prior_sd**2)
            self._covariance = np.linalg.inv(precision)
            wanted = self._covariance @ (self._weight * slopes.T @ (gap + slopes @ self.x))
            step, present = self._step(wanted - self.x, present)
            if np.abs(step / self._prior_sd).max() < _DONE:
                break
        self.cost = self._cost(self.x, self.expected(self.x))

    def parameters(self) -> list[Parameter]:
        """Return what became of each parameter."""
        moved = self.x / self._prior_sd
        return [
            Parameter(
                name=one.name,
                kind="demand" if one.district >= 0 else "roughness",
                factor=float(np.exp(self.x[n])),
                prior_factor=1.0,
                prior_sd=one.prior_sd,
                moved_sd=float(moved[n]),
                sd_after=float(np.sqrt(self._covariance[n, n])),
                at_bound=bool(abs(moved[n]) > BOUND_SD - 1e-6),
                pipes=len(one.links),
            )
            for n, one in enumerate(self.free)
        ]

    def _step(self, wanted: Floats, present: Floats) -> tuple[Floats, Floats]:
        """Go as far as it helps, within the bounds; return the step taken and what sensors should say there."""
        bound, cost = BOUND_SD * self._prior_sd, self._cost(self.x, present)
        for halving in range(_HALVINGS):
            x = np.clip(self.x + wanted / 2**halving, -bound, bound)
            expected = self.expected(x)
            if self._cost(x, expected) < cost:
                step = x - self.x
                self.x = x
                return step, expected
        return np.zeros(len(wanted)), present

    def _slopes(self, present: Floats) -> Floats:
        """Return dz/dx of every known residual (values, parameters)."""
        columns = []
        for n in range(len(self.free)):
            x = self.x.copy()
            x[n] += _PROBE
            columns.append(self._z(present) - self._z(self.expected(x)))
        return np.stack(columns, axis=1) / _PROBE

    def _z(self, expected: Floats) -> Floats:
        z = (self._watched.observed - expected) / self._sd
        known: Floats = z[np.isfinite(self._watched.observed)]
        return known

    def _cost(self, x: Floats, expected: Floats) -> float:
        return float(self._weight * (self._z(expected) ** 2).sum() + ((x / self._prior_sd) ** 2).sum())
