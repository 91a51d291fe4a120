"""How long an isolation takes on grids of pipes with a valve at both ends of each, after loading, against the limits.

A plan is valves in order, segment, who is dry, pockets that tanks feed. The answer is all that needs no run, from the
INP's bytes to the words: the plan, what stuck valves cost, what could be opened. Segments are the partition of the
whole network. Run from the project's root: `.venv/bin/python tests/benchmarks/bench_isolation.py`
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from models.supply.facts import ModelFacts
from models.supply.isolation.answer import Target, Terms, isolations
from models.supply.isolation.layer import assumed_layer, layer_of
from models.supply.isolation.plan import Isolator
from models.supply.open_supply import open_supply
from twin.valves import Valve

PLAN_LIMITS_S = {10_000: 0.050, 100_000: 0.300}
SEGMENTS_LIMIT_S = {100_000: 0.050}
TARGETS = 40


def grid(pipes: int) -> str:
    """Return a square grid of about so many pipes, fed by two reservoirs and a tank, some pipes closed."""
    side = round((pipes / 2) ** 0.5) + 1

    def lines() -> Iterator[str]:
        yield "[JUNCTIONS]"
        yield from (f"J{i}_{j} 10 0.05" for i in range(side) for j in range(side))
        yield "[RESERVOIRS]\nA 80\nB 80\n[TANKS]\nT 60 3 1 5 20 0\n[PIPES]"
        yield f"PA A J0_0 50 600 130 0 Open\nPB B J{side - 1}_{side - 1} 50 600 130 0 Open"
        yield f"PT T J{side // 2}_{side // 2} 50 600 130 0 Open"
        for i in range(side):
            for j in range(side):
                state = "Closed" if (7 * i + j) % 97 == 0 else "Open"
                if i + 1 < side:
                    yield f"V{i}_{j} J{i}_{j} J{i + 1}_{j} 100 300 130 0 {state}"
                if j + 1 < side:
                    yield f"H{i}_{j} J{i}_{j} J{i}_{j + 1} 100 300 130 0 Open"
        yield "[TIMES]\nDuration 24:00\nHydraulic Timestep 1:00\n[OPTIONS]\nUnits LPS\nHeadloss H-W\n[END]\n"

    return "\n".join(lines())


def every_third(facts: ModelFacts) -> tuple[Valve, ...]:
    """Return a valve at every third end of a pipe, one in ten stuck, one in a hundred shut: segments of many pipes."""
    chance = random.Random(7)
    ends = (facts.link_start, facts.link_end)
    return tuple(
        Valve(f"{link_id}/{end}", link_id, facts.node_ids[ends[end][n]], chance.random() > 0.1, chance.random() < 0.01)
        for n, link_id in enumerate(facts.link_ids)
        for end in (0, 1)
        if chance.random() < 1 / 3
    )


def report(pipes: int, what: str, inp: bytes, facts: ModelFacts, valves: tuple[Valve, ...] | None) -> None:
    layer = assumed_layer(facts) if valves is None else layer_of(facts, valves)
    begin = time.perf_counter()
    isolator = Isolator(facts, layer)
    made_s = time.perf_counter() - begin
    times, dry = [], 0
    for link_id in random.Random(3).sample(facts.link_ids, TARGETS):
        begin = time.perf_counter()
        plan = isolator.of_link(link_id)
        times.append(time.perf_counter() - begin)
        dry += len(plan.dry_nodes)
    answers = []
    terms = Terms(valves=valves, hydraulics=False)
    for link_id in random.Random(3).sample(facts.link_ids, TARGETS):
        begin = time.perf_counter()
        isolations(inp, [Target(link_id, is_link=True)], terms, 60.0)
        answers.append(time.perf_counter() - begin)
    answer_s = max(answers[1:])  # the first one loads
    segments = []
    for _ in range(7):
        begin = time.perf_counter()
        isolator.partition()
        segments.append(time.perf_counter() - begin)
    median_s, worst_s, segments_s = statistics.median(times), max(times), statistics.median(segments)
    limit_s, segments_limit_s = PLAN_LIMITS_S.get(pipes), SEGMENTS_LIMIT_S.get(pipes)
    print(
        f"| {len(facts.link_ids):,} | {what} | {made_s * 1e3:.0f} ms | {median_s * 1e3:.1f} / {worst_s * 1e3:.1f} ms | "
        f"{answer_s * 1e3:.1f} ms | {_of(answer_s, limit_s)} | "
        f"{segments_s * 1e3:.1f} ms | {_of(segments_s, segments_limit_s)} |",
        flush=True,
    )


def _of(seconds: float, limit_s: float | None) -> str:
    return "-" if limit_s is None else f"{seconds / limit_s:.2f} of {limit_s * 1e3:.0f} ms"


def main() -> None:
    print(f"load average {os.getloadavg()[0]:.1f}")
    print("| links | valves | prepared once | plan: median / worst | answer: worst | of limit | segments | of limit |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        for pipes in (1_000, 10_000, 100_000):
            inp = grid(pipes).encode()
            facts = open_supply(inp).facts
            report(pipes, "at every end", inp, facts, None)
            report(pipes, "at a third of the ends", inp, facts, every_third(facts))
        os.chdir(here)


if __name__ == "__main__":
    main()
