"""One drainage cycle (update + ensemble) against the bare engine on the same input texts, in the same run.

    python tests/benchmarks/bench_drainage.py [--members 40] [--hours 12] [--workers 2] [--rounds 5]

The bare engine is `swmm_run` in the same number of long-lived processes, fed the very texts of the cycle (members with
the cycle's hot start file), with nothing read out. Rounds alternate, so that a busy machine is busy for both; medians and best rounds
are compared.
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


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of `work`."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


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
    ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"demo city, {args.members} members of {args.hours} h + update of 1 h, {args.workers} workers")
    print(f"cycle  {ours:7.3f} s   (rounds: {', '.join(f'{one:.3f}' for one, _ in rounds)})")
    print(f"engine {theirs:7.3f} s   (rounds: {', '.join(f'{other:.3f}' for _, other in rounds)})")
    best = min(one for one, _ in rounds) / min(other for _, other in rounds)
    print(f"ratio  {ours / theirs:7.3f}   (best rounds: {best:.3f})")


if __name__ == "__main__":
    main()
