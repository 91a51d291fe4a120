"""Which link's status, or which leak, explains the residuals of several hours: each is tried in the model itself.

With `z` the residuals of a sensor over its standard deviation, the measure is `SS`, the sum over sensors of the mean
square of z over the moments. The standard deviation is that of usual residuals where they are known (their mean is
taken off first), with a floor; where they are not, what a model may be off by is stated here (`MODEL_SD_M`, ...).

1. Something is off if a sensor's mean z is beyond `OFF_SD`.
2. Every link is flipped: what is open is closed, what is closed opened, and valves that regulate also opened fully. Not
   tried are links whose status or flow is measured, and those that would cut consumers or sensors off (they call).
3. At every junction a leak of the size that fits best is tried, as an orifice; in a balanced district the leak takes
   the place of consumption, since the inflow is known. A size below zero is less water drawn there than usual: a leak
   that ended, or a consumer that rests.
4. The best candidate is named if it leaves at most `LEFT` of SS and no sensor off (beyond `OFF_SD` and a tenth of the
   largest mean z there was: a flipped model is not exact either), and every other one leaves `CLEARLY` times and
   `CLEARLY_SS` more than it. Links that no sensor tells
   from it, and others in the same run of pipes, are named with it. A status has no size to fit, so
   where status and leak are equally good nothing is named, but the status is listed first.

All are tried at two moments first; the best `_SHORTLIST` of them at all moments.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.supply.epanet import LinkType, NodeType
from models.supply.facts import Floats, ModelFacts
from models.supply.moments import Leak, Moments
from models.supply.watch import Booleans
from twin.errors import ModelError
from twin.mismatch import LEAK, LESS, Candidate, Mismatch, Verdict

MODEL_SD_M = 0.25
MODEL_SD_SHARE = 0.05
"""How far pressures (m) and flows (share) of a model that was not calibrated may be off."""

FLOOR_M = 0.03
FLOOR_SHARE = 0.01
FLOOR_M3S = 2e-4
"""No standard deviation is taken to be below this, and that of a flow not below either of the last two."""

OFF_SD = 3.0
LEFT = 0.3
CLEARLY = 2.0
CLEARLY_SS = 9.0
_SHORTLIST = 24
_LISTED = 8
_ABSURD_M = 1e4
_PROBE_M3S = 2e-3
_FITS = 3
_REGULATE = (LinkType.PRV, LinkType.PSV, LinkType.PBV, LinkType.FCV)
_ALIKE_SD = 0.5
_MOST_OF_INFLOW = 0.8
_INEXACT = 0.1
_VERDICTS = {LEAK: Verdict.LEAK, LESS: Verdict.LESS}


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What residuals usually are, by place: mean and standard deviation (m, m3/s)."""

    mean: Floats
    sd: Floats


def usual_residuals(residuals: Floats) -> Usual:
    """Return mean and standard deviation of ordinary residuals (moments, places); robust against some that are not."""
    centre = np.nanmedian(residuals, axis=0)
    sd = 1.4826 * np.nanmedian(np.abs(residuals - centre), axis=0)
    return Usual(centre, sd)


@dataclass(frozen=True, slots=True)
class _Tried:
    """A hypothesis and what it leaves: `key` is a link's position (with its state) or a node's position."""

    candidate: Candidate
    expected: Floats
    left: float


def find_mismatch(
    moments: Moments,
    *,
    usual: Usual | None = None,
    model_sd_m: float = MODEL_SD_M,
    off_sd: float = OFF_SD,
    limit_s: float = 60.0,
) -> Mismatch:
    """Return what explains the residuals of a watch's moments.

    Without usual residuals pressures may be off by `model_sd_m` (one standard deviation). Candidates are looked for if
    a sensor's mean is further off than `off_sd`.

    Raises:
        ModelError: If the model itself cannot be solved at them.
    """
    return _Finder(moments, usual, model_sd_m, time.monotonic() + limit_s).find(off_sd)


class _Finder:
    def __init__(self, moments: Moments, usual: Usual | None, model_sd_m: float, until: float) -> None:
        self._moments, self._until = moments, until
        self._watched = moments.watched
        self._rows = range(len(self._watched))
        self._expected = np.array([moments.solve(row) for row in self._rows])
        self._offset = np.zeros(self._watched.places) if usual is None else np.nan_to_num(usual.mean)
        self._sd = self._deviations(usual, model_sd_m)
        self._runs = _runs_of_pipes(moments.facts)
        self._tried = self._untried = 0

    def _deviations(self, usual: Usual | None, model_sd_m: float) -> Floats:
        """Return the standard deviation of each residual (moments, places)."""
        pressures = len(self._watched.pressure_nodes)
        flow = np.abs(self._expected[:, pressures:])
        sd = np.empty_like(self._expected)
        if usual is None:
            sd[:, :pressures] = model_sd_m
            sd[:, pressures:] = np.hypot(MODEL_SD_SHARE * flow, FLOOR_M3S)
            return sd
        sd[:, :pressures] = np.hypot(usual.sd[:pressures], FLOOR_M)
        sd[:, pressures:] = np.maximum(np.hypot(usual.sd[pressures:], FLOOR_M3S), FLOOR_SHARE * flow)
        return sd

    def find(self, off_sd: float) -> Mismatch:
        residuals = self._watched.observed - self._expected - self._offset
        mean_z = np.nan_to_num(_mean(residuals / self._sd))
        off = [int(place) for place in np.argsort(-np.abs(mean_z)) if abs(mean_z[place]) > off_sd]
        if not off:
            return Mismatch(Verdict.NOTHING, len(self._rows))
        names = self._names()
        told = tuple((names[place], float(np.nanmean(residuals[:, place]))) for place in off)
        before = self._left(self._expected, self._rows)
        screened = self._screen_rows()
        links = self._shortlist(self._statuses(screened), screened)
        leaks = self._leaks(screened)
        best = sorted([*links, *leaks], key=lambda tried: (tried.left, tried.candidate.is_of_water))
        return self._judged(best, before, told)

    # --------------------------------------------------------------------------------------------- hypotheses

    def _statuses(self, rows: Sequence[int]) -> list[tuple[int, bool]]:
        facts, watched = self._moments.facts, self._watched
        known = set(watched.is_open) | set(watched.flow_links.tolist())
        found = []
        for link, kind in enumerate(facts.link_types):
            if link in known or kind is LinkType.CVPIPE:
                continue
            found.append((link, not facts.initially_open[link]))
            if kind in _REGULATE and facts.initially_open[link]:
                found.append((link, True))
        flow = np.abs(np.array([self._moments.flows_m3s(row) for row in rows])).max(axis=0)
        return sorted(found, key=lambda one: (facts.initially_open[one[0]], -flow[one[0]]))

    def _shortlist(self, hypotheses: Sequence[tuple[int, bool]], rows: Sequence[int]) -> list[_Tried]:
        nothing = self._left(self._expected, rows)
        screened = []
        for number, (link, is_open) in enumerate(hypotheses):
            if time.monotonic() > self._until:
                self._untried = len(hypotheses) - number
                break
            self._tried += 1
            left = self._left(self._flip(link, is_open, rows), rows)
            if left < nothing:
                screened.append((left, link, is_open))
        found: list[_Tried] = []
        for _, link, is_open in sorted(screened):
            if len(found) == _SHORTLIST:
                break
            if is_open or not self._moments.cuts_off(rows[0], link):
                found.append(self._tried_status(link, is_open))
        return [tried for tried in found if np.isfinite(tried.left)]

    def _tried_status(self, link: int, is_open: bool) -> _Tried:
        expected = self._flip(link, is_open, self._rows)
        left = self._left(expected, self._rows)
        regulates = is_open and bool(self._moments.facts.initially_open[link])
        what = "fully open" if regulates else "open" if is_open else "closed"
        share = 1 - left / self._left(self._expected, self._rows)
        return _Tried(Candidate(what, self._moments.facts.link_ids[link], share, left), expected, left)

    def _flip(self, link: int, is_open: bool, rows: Sequence[int]) -> Floats:
        """Return what sensors should say with a link flipped: rows of NaN where the model cannot be solved."""
        expected = np.full((len(rows), self._watched.places), np.nan)
        for place, row in enumerate(rows):
            try:
                expected[place] = self._moments.solve(row, flipped={link: is_open})
            except ModelError:
                return expected
        expected[np.abs(expected) > _ABSURD_M] = np.nan
        return expected

    def _leaks(self, rows: Sequence[int]) -> list[_Tried]:
        facts = self._moments.facts
        junctions = [n for n, kind in enumerate(facts.node_types) if kind is NodeType.JUNCTION]
        nothing = self._left(self._expected, rows)
        screened = []
        for number, node in enumerate(junctions):
            if time.monotonic() > self._until:
                self._untried += len(junctions) - number
                break
            self._tried += 1
            fitted = self._fit(node, rows, fits=1)
            if fitted is not None and fitted[1] < nothing:
                screened.append((fitted[1], node))
        found = []
        for _, node in sorted(screened)[:_SHORTLIST]:
            fitted = self._fit(node, self._rows, fits=_FITS)
            if fitted is None or not np.isfinite(fitted[1]):
                continue
            leak, left, expected = fitted
            lost = float(np.mean([self._moments.leak_m3s(leak, row) for row in self._rows]))
            if abs(lost) > self._most(node):
                continue
            share = 1 - left / self._left(self._expected, self._rows)
            what = LEAK if lost > 0 else LESS
            found.append(_Tried(Candidate(what, facts.node_ids[node], share, left, abs(lost)), expected, left))
        return found

    def _most(self, node: int) -> float:
        """Return how much can leak at a node: in a balanced district no more than most of what flows in."""
        group = int(self._watched.group_of_node[node])
        if not self._watched.balanced[group]:
            return float("inf")
        return _MOST_OF_INFLOW * float(self._watched.demand_m3s[:, group].mean())

    def _fit(self, node: int, rows: Sequence[int], *, fits: int) -> tuple[Leak, float, Floats] | None:
        """Return the leak at a node that fits best, by Gauss-Newton from none; None if none helps."""
        at_rows = np.asarray(rows)
        observed = (self._watched.observed - self._offset)[at_rows]
        sd, present, size = self._sd[at_rows], self._expected[at_rows], 0.0
        pressure = self._moments.leak_m3s(Leak(node, 1.0), rows[0])
        if pressure <= 0:
            return None
        for _ in range(fits):
            step = _PROBE_M3S / pressure
            probed = self._expected_with(Leak(node, size + step), rows)
            slope = np.nan_to_num((probed - present) / step / sd)
            gap = np.nan_to_num((observed - present) / sd)
            bend = float((slope**2).sum())
            size += float((slope * gap).sum()) / bend if bend > 0 else 0.0
            if size == 0.0:
                return None
            if fits == 1 or size < 0:  # a screening, or less water drawn: the straight line will do
                present = self._expected[at_rows] + slope * sd * size
                break
            present = self._expected_with(Leak(node, size), rows)
        return Leak(node, size), self._left(present, rows), present

    def _expected_with(self, leak: Leak, rows: Sequence[int]) -> Floats:
        return np.array([self._moments.solve(row, leak=leak) for row in rows])

    # ------------------------------------------------------------------------------------------------ judgement

    def _screen_rows(self) -> list[int]:
        """Return the moments of most and of middling demand."""
        by_demand = np.argsort(self._watched.demand_m3s.sum(axis=1))
        return sorted({int(by_demand[-1]), int(by_demand[len(by_demand) // 2])})

    def _left(self, expected: Floats, rows: Sequence[int]) -> float:
        """Return SS of what sensors should say at some moments; infinite where it says nothing."""
        at_rows = np.asarray(rows)
        if len(expected) != len(at_rows):
            expected = expected[at_rows]
        observed, sd = (self._watched.observed - self._offset)[at_rows], self._sd[at_rows]
        if (np.isnan(expected) & np.isfinite(observed)).any():
            return float("inf")
        return float(np.nansum(_mean(((observed - expected) / sd) ** 2)))

    def _judged(self, best: Sequence[_Tried], before: float, off: tuple[tuple[str, float], ...]) -> Mismatch:
        listed = tuple(tried.candidate for tried in best[:_LISTED])
        verdict, named = Verdict.UNEXPLAINED, None
        same: tuple[str, ...] = ()
        if best and best[0].left <= LEFT * before and self._largest(best[0].expected) <= self._tolerated():
            first = best[0]
            rivals = [tried for tried in best[1:] if not self._clearly_worse(tried, first)]
            same_as = [tried for tried in rivals if self._is_same(tried, first)]
            verdict = Verdict.AMBIGUOUS
            if len(same_as) == len(rivals):
                verdict = _VERDICTS.get(first.candidate.what, Verdict.STATUS)
                named = first.candidate
                same = tuple(tried.candidate.element_id for tried in same_as)
            else:
                first_statuses = sorted([first, *rivals], key=lambda tried: tried.candidate.is_of_water)
                listed = tuple(tried.candidate for tried in first_statuses[:_LISTED])
        return Mismatch(verdict, len(self._rows), off, named, same, listed, self._tried, self._untried)

    def _largest(self, expected: Floats) -> float:
        """Return the largest mean z of all sensors."""
        return float(np.nanmax(np.abs(_mean((self._watched.observed - self._offset - expected) / self._sd))))

    def _tolerated(self) -> float:
        return OFF_SD + _INEXACT * self._largest(self._expected)

    def _clearly_worse(self, tried: _Tried, than: _Tried) -> bool:
        return tried.left >= CLEARLY * than.left and tried.left - than.left >= CLEARLY_SS

    def _is_same(self, tried: _Tried, first: _Tried) -> bool:
        """Whether two explanations come to the same: two leaks, or statuses in one run of pipes or that look alike."""
        if tried.candidate.is_of_water or first.candidate.is_of_water:
            return tried.candidate.what == first.candidate.what
        if self._runs[tried.candidate.element_id] == self._runs[first.candidate.element_id]:
            return True
        apart: Booleans = np.sqrt(_mean(((tried.expected - first.expected) / self._sd) ** 2)) > _ALIKE_SD
        seen = np.isfinite(self._watched.observed).any(axis=0)
        return not (apart & seen).any()

    def _names(self) -> list[str]:
        facts, watched = self._moments.facts, self._watched
        nodes = [facts.node_ids[node] for node in watched.pressure_nodes]
        return [*nodes, *(facts.link_ids[link] for link in watched.flow_links)]


def _runs_of_pipes(facts: ModelFacts) -> dict[str, int]:
    """Return the number of the run that each link lies in: links in series, with nothing but consumers between them."""
    run = list(range(len(facts.link_ids)))

    def first(link: int) -> int:
        while run[link] != link:
            link = run[link]
        return link

    at: dict[int, list[int]] = defaultdict(list)
    for link, ends in enumerate(zip(facts.link_start.tolist(), facts.link_end.tolist(), strict=True)):
        for node in ends:
            at[node].append(link)
    for node, links in at.items():
        if len(links) == 2 and facts.node_types[node] is NodeType.JUNCTION:
            run[first(links[0])] = first(links[1])
    return {link_id: first(link) for link, link_id in enumerate(facts.link_ids)}


def _mean(values: Floats) -> Floats:
    """Return the mean of the known moments by place; NaN where none is known."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    means: Floats = np.divide(total, count, out=np.full(values.shape[1], np.nan), where=count > 0)
    return means
