"""`h2twin supply outage`: close links of a model and say who runs short."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from api.commands.options import Json, ids, print_json, print_table, readable
from api.progress import rows_shown
from twin.errors import InputError, ModelError

_NAMED = 10


def outage(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    close: Annotated[str, typer.Option(help="Links that are closed together: ID[,ID...].")] = "",
    each: Annotated[str, typer.Option(help="Links that are closed one at a time: ID[,ID...]; one line each.")] = "",
    start: Annotated[float, typer.Option(min=0, help="Hour of the model's time at which they close.")] = 0.0,
    hours: Annotated[float, typer.Option(min=1 / 60, max=24 * 366, help="How long to look from then on.")] = 24.0,
    required_pressure_m: Annotated[
        float, typer.Option(min=0.1, help="Pressure from which on consumers get all they want.")
    ] = 10.0,
    json: Json = False,
) -> None:
    """Close links and say which junctions run short, pressure-driven, whatever the INP says of demand.

    A junction is short if it gets less than 80 % of what its consumers want in these hours. With --each and --json the
    answer is one JSON line for each link, in their order.
    """
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from models.supply.outage import Closure, answers_in_turn, outages

    closures = [
        Closure(links, _whole_minutes_s("start", start), _whole_minutes_s("hours", hours), required_pressure_m)
        for links in _closed_links(close, each)
    ]
    failed = ""
    with engine_pool(load_settings(), workers=None if len(closures) > 1 else 1) as pool:
        for answer in _watched(answers_in_turn(outages, network.read_bytes(), closures, pool), len(closures)):
            failed = failed or answer.get("error", "")
            if failed and not each:
                break
            if json:
                print_json(answer)
            elif each:
                typer.echo(f"{','.join(answer['close'])}: {_in_words(answer)}")
            else:
                _print_outage(answer)
    if failed:
        raise ModelError(failed)


def _closed_links(close: str, each: str) -> list[tuple[str, ...]]:
    """Return what is closed together, once for each run."""
    together, apart = ids(close), ids(each)
    if bool(together) == bool(apart):
        raise InputError("name the links either with --close (together) or with --each (one at a time)")
    return [together] if together else [(link_id,) for link_id in apart]


def _whole_minutes_s(name: str, hours: float) -> int:
    minutes = hours * 60
    if abs(minutes - round(minutes)) > 1e-6:
        raise InputError(f"--{name} must be whole minutes, in hours; {hours:g} h is not")
    return round(minutes) * 60


def _watched(answers: Iterable[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    """Pass answers on, with a progress bar on a terminal while there are several."""
    if count == 1:
        yield from answers
        return
    with rows_shown("closures", 0, count, shown=not sys.stdout.isatty(), unit="closures") as show:
        for answer in answers:
            yield answer
            show(1)


def _in_words(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"no answer: {answer['error']}"
    short = answer["junctions_short"]
    named = f": {', '.join(short[:_NAMED])}" if short else ""
    return f"{len(short)} junctions short{named}{', ...' if len(short) > _NAMED else ''}"


def _print_outage(answer: dict[str, Any]) -> None:
    of = answer["junctions"]
    short = sorted(answer["junctions_short"], key=lambda name: float(of[name]["first_short_at_h"]))
    rows = [
        (
            name,
            of[name]["first_short_at_h"],
            of[name]["delivered_m3"] / of[name]["demand_m3"],
            of[name]["min_pressure_m"],
        )
        for name in short
    ]
    columns = ("junction", "short from (h)", "delivered of demand", "lowest pressure (m)")
    print_table(
        f"{', '.join(answer['close'])} closed from {answer['start_h']:g} h on, {answer['hours']:g} h",
        columns,
        rows,
        empty="No junction runs short.",
    )
