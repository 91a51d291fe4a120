"""Supply runs with their results against EPANET's bare loop and against WNTR's own way, in one run of this file.

The bare loop solves the same 24 hours with the same library on a project that is open already, and reads nothing.
Run from the project's root: `.venv/bin/python tests/benchmarks/bench_supply_engine.py`
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from models.pool import EnginePool
from models.supply.epanet import LinkType, Option
from models.supply.inp import vet_inp
from models.supply.open_supply import OpenSupply, Setup
from models.supply.outage import Closure, answers_in_turn, outages
from models.supply.sensitivity import sensitivities, snapshot
from models.supply.simulation import prepare_times, run

HOURS = 24
WNTR_NETWORKS = Path(str(files("wntr"))) / "library" / "networks"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "networks"
NETWORKS = [
    WNTR_NETWORKS / "Net3.inp",
    WNTR_NETWORKS / "ky10.inp",
    WNTR_NETWORKS / "ky4.inp",
    WNTR_NETWORKS / "Net6.inp",
    SHARED / "BWSN_Network_2.inp",
]
CLOSURES = 96
SIDES = (3, 10, 32, 100)
BRANCH = 10


def median_s(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def paired_s(supply: OpenSupply, repeats: int, *, pressure_driven: bool) -> tuple[float, float, float]:
    """Return the medians of the bare loop, of ours and of their ratio, taken in turn."""
    with_results(supply, pressure_driven=pressure_driven)
    pairs = []
    for _ in range(repeats):
        loop_s = median_s(lambda: bare(supply, pressure_driven=pressure_driven), 1)
        pairs.append((loop_s, median_s(lambda: with_results(supply, pressure_driven=pressure_driven), 1)))
    loop_s, ours_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    return loop_s, ours_s, statistics.median(ours / loop for loop, ours in pairs)


def prepare(setup: Setup, *, pressure_driven: bool) -> None:
    clock = setup.facts.clock
    setup.set_option(Option.UNBALANCED_TRIALS, 10)
    if pressure_driven:
        setup.set_pressure_driven(10.0)
    prepare_times(
        setup,
        duration_s=HOURS * 3600,
        pattern_start_s=clock.pattern_start_s,
        start_clock_s=clock.start_clock_s,
    )


def bare(supply: OpenSupply, *, pressure_driven: bool, closed: int | None = None) -> None:
    with supply.setup() as setup:
        prepare(setup, pressure_driven=pressure_driven)
        if closed is not None:
            setup.hold_closed(closed)
        for _ in setup.project.steps(wall_limit_s=600):
            pass


def with_results(supply: OpenSupply, *, pressure_driven: bool) -> None:
    with supply.setup() as setup:
        prepare(setup, pressure_driven=pressure_driven)
        run(setup, wall_limit_s=600)


def runs() -> None:
    print(
        f"\n{HOURS} h with all results, against the bare loop\n| network | nodes | demand | bare loop | ours | ratio |"
    )
    for path in NETWORKS:
        if not path.exists():
            print(f"| {path.name} | is not there |")
            continue
        supply = OpenSupply(vet_inp(path.read_bytes()))
        for driven in (False, True):
            loop_s, ours_s, ratio = paired_s(supply, 9, pressure_driven=driven)
            kind = "pressure-driven" if driven else "as the INP says"
            nodes = len(supply.facts.node_ids)
            print(f"| {path.stem} | {nodes} | {kind} | {loop_s * 1e3:.1f} ms | {ours_s * 1e3:.1f} ms | {ratio:.2f} |")
        supply.close()


def snapshots() -> None:
    path = SHARED.parent / "battledim" / "L-TOWN.inp"
    if not path.exists():
        print("\nL-TOWN is not there: no snapshots")
        return
    supply = OpenSupply(vet_inp(path.read_bytes()))
    with supply.setup() as setup:
        with setup.project.solver():
            solved_s = median_s(lambda: snapshot(setup), 200)
        opened_s = median_s(lambda: snapshot(setup), 50)
        matrix_s = median_s(lambda: sensitivities(setup), 7)
    supply.close()
    print(
        f"\nL-TOWN: a snapshot from a cold start {solved_s * 1e3:.2f} ms (limit 1.5), {opened_s * 1e3:.2f} ms with the"
    )
    print(f"solver opened for it; sensitivities of every head to every demand {matrix_s * 1e3:.0f} ms (limit 1000)")


def closures() -> None:
    path = WNTR_NETWORKS / "ky10.inp"
    inp = path.read_bytes()
    text = vet_inp(inp)
    threads = [OpenSupply(text, Path(tempfile.mkdtemp(dir="."))) for _ in range(2)]
    facts = threads[0].facts
    pipes = [n for n, kind in enumerate(facts.link_types, start=1) if kind is LinkType.PIPE]
    chosen = pipes[:: max(1, len(pipes) // CLOSURES)][:CLOSURES]

    def half(number: int) -> None:
        for pipe in chosen[number::2]:
            bare(threads[number], pressure_driven=True, closed=pipe)

    def bare_on_two_threads() -> None:
        with ThreadPoolExecutor(2) as callers:
            list(callers.map(half, range(2)))

    asked = [Closure((facts.link_ids[pipe - 1],)) for pipe in chosen]
    with EnginePool(2) as pool:
        list(answers_in_turn(outages, inp, asked[:4], pool))
        toolkit_s = median_s(bare_on_two_threads, 3)
        ours_s = median_s(lambda: list(answers_in_turn(outages, inp, asked, pool)), 3)
    few = [facts.link_ids[pipe - 1] for pipe in chosen[:4]]
    wntr_s = median_s(lambda: wntr_closures(path, few), 1) * len(chosen) / len(few)
    rates = [len(chosen) / seconds for seconds in (toolkit_s, ours_s, wntr_s)]
    print(f"\n{len(chosen)} pressure-driven closures of ky10, {HOURS} h")
    print(f"bare toolkit, two threads {rates[0]:6.1f} /s")
    print(f"ours, two workers         {rates[1]:6.1f} /s   {rates[1] / rates[0]:.0%} of the toolkit")
    print(f"WNTR, EpanetSimulator     {rates[2]:6.1f} /s   ours are {rates[1] / rates[2]:.1f} times as fast")


def wntr_closures(path: Path, links: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import copy

        import wntr

        model = wntr.network.WaterNetworkModel(str(path))
        model.options.time.duration = HOURS * 3600
        model.options.hydraulic.demand_model = "PDD"
        model.options.hydraulic.required_pressure = 10.0
        for link in links:
            closed = copy.deepcopy(model)
            closed.get_link(link).initial_status = "CLOSED"
            wntr.sim.EpanetSimulator(closed).run_sim()


def town(side: int) -> str:
    """Return a network of side x side crossings on a grid of mains, each with a branched street of nine junctions.

    It has 1.1 pipes a junction, like real networks.
    """
    crossings = [(i, j) for i in range(side) for j in range(side)]

    def lines() -> Iterator[str]:
        yield "[JUNCTIONS]"
        yield from (f"J{i}_{j}_{k} 10 0.005" for i, j in crossings for k in range(BRANCH))
        yield "[RESERVOIRS]\nA 80\nB 80\n[PIPES]"
        yield f"PA A J0_0_0 50 1000 130\nPB B J{side - 1}_{side - 1}_0 50 1000 130"
        for i, j in crossings:
            wide = 1000 if i == 0 or j == 0 or i == j else 400
            if i + 1 < side:
                yield f"V{i}_{j} J{i}_{j}_0 J{i + 1}_{j}_0 500 {wide} 130"
            if j + 1 < side:
                yield f"H{i}_{j} J{i}_{j}_0 J{i}_{j + 1}_0 500 {wide} 130"
            yield from (f"S{i}_{j}_{k} J{i}_{j}_{k // 2} J{i}_{j}_{k} 100 150 130" for k in range(1, BRANCH))
        yield "[PATTERNS]\n1 0.6 0.8 1.2 1.4 1.0 0.8"
        yield f"[TIMES]\nDuration {HOURS}:00\nHydraulic Timestep 1:00\nPattern Timestep 4:00"
        yield "[OPTIONS]\nUnits LPS\nHeadloss H-W\nAccuracy 0.001\n[END]\n"

    return "\n".join(lines())


def growth() -> None:
    print(
        "\nHow it grows: a town of mains and streets\n"
        "| nodes | opening | bare loop | with results | ratio |\n|---|---|---|---|---|"
    )
    for side in SIDES:
        text = town(side)
        begin = time.perf_counter()
        supply = OpenSupply(text)
        opened_s = time.perf_counter() - begin
        loop_s, ours_s, ratio = paired_s(supply, 5 if side < 100 else 1, pressure_driven=False)
        print(f"| {BRANCH * side * side:,} | {opened_s:.3f} s | {loop_s:.3f} s | {ours_s:.3f} s | {ratio:.2f} |")
        supply.close()


def main() -> None:
    here = Path.cwd()
    print(f"load average {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        runs()
        snapshots()
        closures()
        growth()
        os.chdir(here)


if __name__ == "__main__":
    main()
