"""One drainage cycle (update + ensemble) against the bare engine on the same input texts, in the same run.

    python tests/benchmarks/bench_drainage.py [--members 40] [--hours 12] [--workers 2] [--rounds 5]

The bare engine is `swmm_run` in the same number of long-lived processes, fed the very texts of the cycle (members with
the cycle's hot start file), with nothing read out. Rounds alternate, so that a busy machine is busy for both. The
wall ratio on a busy machine tells how the system shares out its cores; the ratio of CPU seconds (this process and
all its children) tells what the cycle adds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.drainage.engine import load_engine
from models.drainage.model import SwmmDrainage
from models.drainage.model_file import read_model
from models.drainage.runs import RunPlan
from models.drainage.state import unseal
from models.pool import EnginePool
from models.rainfall import RainSeries
from twin.forecasts import DrainageState, WeatherEnsemble, WeatherMember
from twin.ports import ObservedRain

DEMO = Path(__file__).resolve().parents[2] / "models/networks/ctown/drainage.inp"
T0 = datetime(2026, 3, 7, tzinfo=UTC)


def bare_start(folder: str) -> None:
    """Make a bare worker ready: its own folder, the engine loaded, its chatter away."""
    os.chdir(tempfile.mkdtemp(dir=folder))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    load_engine()


def bare_run(text: str) -> None:
    """Run one input text through the engine, nothing else."""
    from swmm.toolkit import solver

    Path("bare.inp").write_text(text)
    solver.swmm_run("bare.inp", "bare.rpt", "bare.out")


def the_weather(members: int, hours: int) -> WeatherEnsemble:
    """Every member different: a shower of its own strength in the third hour."""
    rains = tuple(
        WeatherMember(str(m), tuple(40.0 * m / members if step == 2 else 0.5 for step in range(hours)))
        for m in range(members)
    )
    return WeatherEnsemble("bench", T0, T0, "*", T0, 3600, rains)


def the_texts(weather: WeatherEnsemble, hours: int, hotstart: Path) -> list[str]:
    """The input texts of the cycle: the update of an hour, and every member from the state in `hotstart`."""
    model = read_model(DEMO.read_bytes())
    past = RunPlan(
        model, T0 - timedelta(hours=1), T0, {"G1": RainSeries("G1", T0 - timedelta(hours=1), 3600, (1.0,))}, None
    )
    plans = [past]
    for member in weather.members:
        rain = RainSeries("G1", T0, 3600, tuple(value or 0.0 for value in member.rain_mm))
        plans.append(RunPlan(model, T0, T0 + timedelta(hours=hours), {"G1": rain}, None))
    cold, *warm = [plan.job().inp_text for plan in plans]
    return [cold, *(f'{text}[FILES]\nUSE HOTSTART "{hotstart}"\n' for text in warm)]


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall time and the CPU time, of this process and its children, that `work` took."""
    began, cpu = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - began, cpu_seconds() - cpu


def cpu_seconds() -> float:
    """Return the CPU seconds used so far by this process and those it started (Linux)."""
    parents, used = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            pid = int(stat.parent.name)
            parents[pid], used[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(used[pid] for pid in ours) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    for name, default in (("members", 40), ("hours", 12), ("workers", 2), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    weather = the_weather(args.members, args.hours)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        hotstart = Path(folder) / "before.hsf"
        texts = the_texts(weather, args.hours, hotstart)
        pool = stack.enter_context(EnginePool(args.workers))
        bare = stack.enter_context(ProcessPoolExecutor(args.workers, get_context("spawn"), bare_start, (folder,)))
        pool.warm(load_engine)
        city = SwmmDrainage(DEMO.read_bytes(), pool, model_id="ctown")

        def update() -> DrainageState:
            rain = [ObservedRain("G1", T0 - timedelta(hours=1), 3600, (1.0,))]
            return city.update(None, start=T0 - timedelta(hours=1), end=T0, rain=rain)

        def cycle() -> None:
            forecast = city.forecast(update(), weather, run_id="bench", horizon_s=args.hours * 3600)
            assert len(forecast.members_done) == args.members

        hotstart.write_bytes(unseal(update().content, city.state_key).hotstart)

        def engine_alone() -> None:
            list(bare.map(bare_run, texts))

        cycle(), engine_alone()
        rounds = [(seconds(cycle), seconds(engine_alone)) for _ in range(args.rounds)]
    print(f"demo city, {args.members} members of {args.hours} h + update of 1 h, {args.workers} workers")
    for index, kind in enumerate(("wall", "CPU")):
        ours = statistics.median(cycle_s[index] for cycle_s, _ in rounds)
        theirs = statistics.median(engine_s[index] for _, engine_s in rounds)
        print(f"{kind:4s}  cycle {ours:7.3f} s   engine {theirs:7.3f} s   ratio {ours / theirs:6.3f}")


if __name__ == "__main__":
    main()
