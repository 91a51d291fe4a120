"""Pull at every part of a running installation, and prove that nothing is lost and nothing doubled.

`python -m faults.run` (or `make faults`): `--messages` flow through each storm of kills and a tenth of them through
every other fault, all drawn from `--seed`. The table goes to standard output, progress to standard error; a violation
ends it with exit code 1. With `--json` the same is one object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from faults.catalogue import FAULTS, LAG_LIMIT_S, LATE, LOUD, STORM, Drill, Fault
from faults.flow import Flow
from faults.pulse import Pulse
from faults.stand import Stand, stand
from psycopg import sql
from servers import influxdb, mosquitto, postgres
from servers.influxdb import Influx
from servers.small_disk import MountRefusedError, small_disk

_SMALL_DISK_MB = 48
_LOUD_RATE = 2000.0
_LOUD_AT_LEAST = 3000
"""More than the ten seconds' worth of messages that a gateway may send at once."""
_LATE_S = 600


@dataclass(frozen=True)
class Scale:
    """How much flows, and how often a fault strikes."""

    messages: int = 3000
    kills: int = 2
    restarts: int = 2

    def strikes_of(self, fault: Fault) -> int:
        return {"kills": self.kills, "restarts": self.restarts}.get(fault.counts, 1)


@dataclass
class Outcome:
    """One row of the table."""

    fault: str
    acknowledged: int = 0
    kills: int = 0
    restarts: int = 0
    stored: int = 0
    dead: int = 0
    repeats: int = 0
    lost: int = 0
    doubled: int = 0
    gaps: int = 0
    pause_s: float = 0.0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        return (
            self.fault, str(self.acknowledged), str(self.kills), str(self.restarts), str(self.stored), str(self.dead),
            str(self.repeats), str(self.lost), str(self.doubled), str(self.gaps), f"{self.pause_s:.1f}",
            f"{self.seconds:.1f}",
            "; ".join([*(f"WRONG: {wrong}" for wrong in self.wrongs), *self.notes]),
        )  # fmt: skip


HEADINGS = (
    "fault", "acknowledged", "kills", "restarts", "stored", "dead", "repeats", "lost", "doubled", "gaps",
    "pause s", "seconds", "",
)  # fmt: skip


@dataclass(frozen=True)
class Servers:
    """What the faults share: an InfluxDB for those in front of one, a PostgreSQL for those of several ingesters."""

    influx: Influx | None = None
    postgres_url: str = ""

    def new_registry(self, name: str) -> str:
        """Return the URL of an empty database, "" without a server."""
        if not self.postgres_url:
            return ""
        with psycopg.connect(self.postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"{self.postgres_url.rpartition('/')[0]}/{name}"


def run_fault(fault: Fault, scale: Scale, *, seed: int, folder: Path, servers: Servers) -> Outcome:
    """Let one fault strike while messages flow, and reckon."""
    began = time.monotonic()
    seed += zlib.crc32(fault.name.encode())
    end_us = time.time_ns() // 1000
    messages = scale.messages // 4 if fault.loud else scale.messages
    flow = Flow(
        seed, messages, end_us, gateways=fault.gateways, bad=fault.bad, poison=fault.poison,
        contradicts=fault.contradicts,
    )  # fmt: skip
    more = scale.messages + _LOUD_AT_LEAST
    loud = Flow(seed + 1, more, end_us, name=LOUD, gateways=1, bad=0.0)
    late = Flow(seed + 2, more, end_us - _LATE_S * 1_000_000, name=LATE, gateways=1, bad=0.0)
    sensors = flow.sensor_ids + loud.sensor_ids + late.sensor_ids
    with ExitStack() as stack:
        disk = _disk(stack, folder, scale) if fault.small_disk else None
        built = stack.enter_context(
            stand(
                folder, sensors, seed=seed, server=servers.influx if fault.on_influx else None, disk=disk,
                registry_url=servers.new_registry(folder.name) if fault.apart else "", ingesters=fault.ingesters,
                apart=fault.apart,
            )
        )  # fmt: skip
        built.settings = fault.settings
        for which in range(fault.ingesters):
            built.start_ingester(which, must_subscribe=True)
        pulse = stack.enter_context(Pulse(built))
        sending = built.send(flow, rate=fault.rate, by=fault.by)
        drill = Drill(built, sending, random.Random(seed), scale.strikes_of(fault), scale.restarts)
        if fault.apart and not servers.postgres_url:
            drill.notes.append("no PostgreSQL here: the registry was in SQLite")
        if fault.loud:
            built.send(loud, rate=_LOUD_RATE)
            built.send(late, rate=_LOUD_RATE)
        try:
            fault.strike(drill)
            built.settle()
            if fault.settles_gaps:
                built.settle_gaps()
        except (TimeoutError, RuntimeError) as error:  # the others must have their turn
            built.wrongs.append(str(error))
        built.end_ingesters()
        outcome = _outcome(fault, built, pulse, drill)
        if fault.loud:
            _judge_burst(outcome, built, pulse, drill)
    outcome.seconds = time.monotonic() - began
    return outcome


def _disk(stack: ExitStack, folder: Path, scale: Scale) -> Path | None:
    try:
        megabytes = _SMALL_DISK_MB + scale.messages // 500
        return stack.enter_context(small_disk(folder / "disk", megabytes=megabytes))
    except MountRefusedError:
        return None


def _outcome(fault: Fault, built: Stand, pulse: Pulse, drill: Drill) -> Outcome:
    found = built.reckon()
    traces = built.logs().count("Traceback")
    if traces:
        built.wrongs.append(f"{traces} unexpected errors in the ingester's log")
    gaps = built.gaps()
    if fault.finds_gaps and not gaps:
        built.wrongs.append("no gap was found")
    return Outcome(
        fault.name, found.acknowledged, built.kills, built.restarts, found.stored, found.dead,
        max(0, built.network.deliveries - sum(sending.messages for sending in built.sendings)),
        found.lost, found.doubled, gaps, pulse.longest_pause_s,
        notes=drill.notes, wrongs=found.wrongs + built.wrongs,
    )  # fmt: skip


def _judge_burst(outcome: Outcome, built: Stand, pulse: Pulse, drill: Drill) -> None:
    """The loud gateway is limited and named by one event; the others do not notice."""
    lags = pulse.lags_s(drill.sending)
    worst = lags[-1] if lags else float("inf")
    outcome.notes.append(f"others' lag: median {lags[len(lags) // 2]:.2f} s, longest {worst:.2f} s")
    if worst > LAG_LIMIT_S and not built.kills:
        outcome.wrongs.append(f"the others' readings took up to {worst:.1f} s")
    limited = built.reckon().rate_limited
    events = built.registry.count(
        f"SELECT count(*) FROM events WHERE kind = 'rate_limited' AND subject LIKE '%{LOUD}-0%'",
    )
    if any(topic.startswith(f"h2/{LATE}-0") for topic, _, _ in built.registry.letters()):
        outcome.wrongs.append("the late gateway was refused a part of its backlog")
    outcome.notes.append(f"{limited} rate limited, {events} event")
    if not limited:
        outcome.wrongs.append("the loud gateway was never limited")
    if events != 1:
        outcome.wrongs.append(f"{events} events name the loud gateway, there should be one")


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the rows as aligned text."""
    rows = [HEADINGS, *(outcome.cells() for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]

    def line(row: tuple[str, ...]) -> str:
        first, *numbers, notes = row
        columns = "  ".join(cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True))
        return f"{first.ljust(widths[0])}  {columns}  {notes}".rstrip()

    return "\n".join(map(line, rows))


def run_all(
    faults: Sequence[tuple[Fault, Scale]],
    *,
    seed: int,
    folder: Path,
    begun: Callable[[Fault], None],
    done: Callable[[Outcome], None],
) -> list[Outcome]:
    """Run faults one after the other in one folder; `begun` and `done` hear of each."""
    outcomes = []
    with ExitStack() as stack:
        influx, registry_url = None, ""
        if any(fault.on_influx for fault, _ in faults):
            (folder / "influx").mkdir()
            influx = stack.enter_context(influxdb.influxdb(folder / "influx"))
        if any(fault.apart for fault, _ in faults) and postgres.find():
            registry_url = stack.enter_context(postgres.postgres(folder / "postgres"))
        for number, (fault, scale) in enumerate(faults):
            begun(fault)
            place = folder / f"fault-{number}"
            place.mkdir()
            servers = Servers(influx, registry_url)
            outcomes.append(run_fault(fault, scale, seed=seed, folder=place, servers=servers))
            done(outcomes[-1])
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.run", description=__doc__.split("\n\n")[0])
    parser.add_argument("--messages", type=int, default=200_000, help="through each storm; a tenth through the others")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only faults whose name contains this")
    parser.add_argument("--embedded", action="store_true", help="only faults of the embedded store, without InfluxDB")
    parser.add_argument("--json", action="store_true", help="print one object instead of the table")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ended from outside, it must leave no process behind
    whole = Scale(options.messages, options.kills, options.restarts)
    tenth = Scale(max(1000, options.messages // 10), max(2, options.kills // 4), options.restarts)
    faults = [(fault, whole) for fault in STORM] + [(fault, tenth) for fault in FAULTS]
    chosen = [
        (fault, scale)
        for fault, scale in faults
        if options.only in fault.name and not (options.embedded and fault.on_influx)
    ]
    _require_servers(parser, chosen)
    began_at, load = datetime.now(UTC), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="h2twin-faults-") as folder, ExitStack() as stack:
        begun, done = _progress(stack, len(chosen))
        outcomes = run_all(chosen, seed=options.seed, folder=Path(folder), begun=begun, done=done)
    took_s = (datetime.now(UTC) - began_at).total_seconds()
    circumstances = {
        "messages": options.messages, "kills": options.kills, "restarts": options.restarts, "seed": options.seed,
        "began_at": f"{began_at:%Y-%m-%dT%H:%M:%SZ}", "took_s": round(took_s), "load_before": load,
        "load_after": os.getloadavg()[0],
    }  # fmt: skip
    if options.json:
        print(json.dumps({**circumstances, "faults": [asdict(outcome) for outcome in outcomes]}))
    else:
        print(", ".join(f"{name} {value}" for name, value in circumstances.items()))
        print(table(outcomes))
    return 1 if any(outcome.wrongs for outcome in outcomes) else 0


def _require_servers(parser: argparse.ArgumentParser, chosen: Sequence[tuple[Fault, Scale]]) -> None:
    """End here where a server is missing: a run that leaves faults out proves less than it seems to."""
    if not chosen:
        parser.error("no fault has such a name")
    if mosquitto.find() is None:
        parser.error("Mosquitto is missing: install it (apt-get install mosquitto)")
    if any(fault.on_influx for fault, _ in chosen) and influxdb.find() is None:
        parser.error("InfluxDB 2 (influxd) is missing: build it with .ci/install-influxd, or choose --embedded")


def _progress(stack: ExitStack, total: int) -> tuple[Callable[[Fault], None], Callable[[Outcome], None]]:
    """Show a bar where a person watches, else a line for each fault."""
    if not sys.stderr.isatty():
        return lambda _: None, lambda outcome: print(" ".join(outcome.cells()), file=sys.stderr, flush=True)
    from rich.console import Console
    from rich.progress import Progress

    progress = stack.enter_context(Progress(console=Console(stderr=True)))
    task = progress.add_task("faults", total=total)
    return (
        lambda fault: progress.update(task, description=fault.name),
        lambda outcome: progress.update(task, advance=1, description=f"{outcome.fault}: done"),
    )


if __name__ == "__main__":
    sys.exit(main())
