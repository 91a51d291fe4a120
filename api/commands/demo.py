"""`h2twin demo` and `h2twin replay`: relive the past through the whole service."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import DataDir, Json, print_json, say

if TYPE_CHECKING:
    from twin.cycle import CycleOutcome

Speed = Annotated[str, typer.Option(help="Times as fast as it was, or max.")]


def demo(
    speed: Annotated[
        str | None, typer.Option(help="Times as fast as it was, or max [default: 600; max with --once].")
    ] = None,
    hours: Annotated[int, typer.Option(min=1, max=24 * 60, help="Hours to relive.")] = 72,
    event: Annotated[str, typer.Option(help="What goes wrong beyond the record: pump-trip or none.")] = "pump-trip",
    members: Annotated[int, typer.Option(min=3, max=200, help="Members of each weather ensemble.")] = 10,
    horizon_hours: Annotated[float, typer.Option(min=1, max=72, help="Look-ahead of the flood forecasts.")] = 12.0,
    start: Annotated[str | None, typer.Option(help="First hour (ISO 8601 with zone).")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the last hour instead of serving on.")] = False,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port [default: 8000, or a free one].")] = None,
    mqtt_url: Annotated[str | None, typer.Option("--mqtt-url", help="Broker [default: an embedded one].")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Watch the whole service at work on C-Town: published readings, real weather, predicted outages and floods."""
    from api.bootstrap import apart
    from api.commands.demo_words import event_line, summary_lines
    from api.demo import Demo
    from api.demo_plan import DemoPlan
    from api.logs import configure_logs
    from api.settings import load_settings
    from models.networks.ctown import period
    from twin.clock import parse_time

    plan = DemoPlan(
        hours=hours,
        speed=parse_speed(speed or ("max" if once else "600")),
        event=event,
        members=members,
        start=parse_time(start) if start else period.START,
        port=0 if once and port is None else port,
    )
    stop = stop_on_signals()
    with _data_folder(data_dir) as folder:
        settings = apart(load_settings(drainage_horizon_h=horizon_hours), folder, mqtt_url=mqtt_url)
        configure_logs("error" if settings.log_level == "info" else settings.log_level)
        say(f"Data: {folder}")
        with Demo(settings, plan, say=say) as running:
            say(event_line(plan))
            say(f"Address: {running.address}/")
            say(f"API key: {running.api_key}")
            with progress(hours) as on_turn:
                running.play(stop, on_turn)
            if stop.is_set():
                return
            summary = running.summary()
            if json:
                print_json(summary)
            else:
                for line in summary_lines(summary):
                    typer.echo(line)
            if not once:
                say(f"The replay is over; the pages stay at {running.address}/ until Ctrl-C.")
                stop.wait()
                return
    if not all(summary["checks"].values()):
        raise typer.Exit(1)


def replay(
    data_dir: DataDir = None,
    start: Annotated[str | None, typer.Option("--from", help="First moment (ISO 8601 with zone).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last moment (ISO 8601 with zone).")] = None,
    into: Annotated[Path | None, typer.Option(help="Folder of the replay [default: a temporary one].")] = None,
    every: Annotated[float, typer.Option(min=1, help="Seconds from one forecast to the next.")] = 3600.0,
    speed: Speed = "max",
    as_observed: Annotated[
        bool, typer.Option("--as-observed", help="Take readings as known when they were observed (imported history).")
    ] = False,
    json: Json = False,
) -> None:
    """Relive stored readings as they became known, in a folder of their own.

    Live data and customers stay untouched, and all is an exercise.
    """
    from api.logs import configure_logs
    from api.past import relive
    from api.settings import load_settings
    from twin.clock import parse_time
    from twin.errors import InputError

    if start is None or end is None:
        raise InputError("name the period: --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z")
    settings = load_settings(data_dir=data_dir)
    configure_logs("error" if settings.log_level == "info" else settings.log_level)
    stop = stop_on_signals()
    with _data_folder(into) as folder, progress(None) as on_turn:
        outcome = relive(
            settings,
            into=folder,
            start=parse_time(start),
            end=parse_time(end),
            every_s=every,
            speed=parse_speed(speed),
            stop=stop,
            on_turn=on_turn,
            as_observed=as_observed,
        )
        if into is not None:
            say(f"The replay is kept in {folder}; look at it with --data-dir.")
    if json:
        print_json(outcome)
    else:
        for name, value in outcome.items():
            typer.echo(f"{name.replace('_', ' ')}: {value}")


def parse_speed(text: str) -> float | None:
    """Read a speed: a positive number, or `max` (None)."""
    from twin.errors import InputError

    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise InputError(f"speed {text!r} is neither a positive number nor max")
    return speed


def stop_on_signals() -> threading.Event:
    """Return an event that Ctrl-C or a request to end sets; the second Ctrl-C ends at once."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:  # noqa: ARG001
        stop.set()
        say("stopping …")
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop


@contextlib.contextmanager
def _data_folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="h2twin-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def progress(total: int | None) -> Iterator[Callable[[CycleOutcome], None]]:
    """Show turns: a bar with the lines above it on a terminal, plain lines elsewhere; always on stderr."""
    from api.commands.demo_words import turn_line

    if not sys.stderr.isatty():
        yield lambda outcome: say(turn_line(outcome))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ExitStack() as stack:
        bar = stack.enter_context(Progress(*columns, console=console))
        task = bar.add_task("cycles", total=total)

        def show(outcome: CycleOutcome) -> None:
            bar.console.print(turn_line(outcome), markup=False, highlight=False)
            bar.advance(task)

        yield show
