"""`h2twin supply criticality`: what the loss of each pipe would cost, the worst first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import Json, ids, print_json, print_table, readable
from api.progress import rows_shown

if TYPE_CHECKING:
    from twin.criticality import PipeCriticality

_SHOWN = 20


def criticality(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    hours: Annotated[int, typer.Option(min=1, max=24 * 366, help="For how long each pipe is out.")] = 24,
    valves: Annotated[
        Path | None,
        typer.Option(callback=readable, help="valves.csv. Without it every pipe has a valve at both ends."),
    ] = None,
    inoperable: Annotated[str, typer.Option(help="Valves that cannot be turned now: ID[,ID...].")] = "",
    closed: Annotated[str, typer.Option(help="Valves that are shut now: ID[,ID...].")] = "",
    customers: Annotated[Path | None, typer.Option(callback=readable, help="customers.csv.")] = None,
    required_pressure_m: Annotated[
        float, typer.Option(min=0.1, help="Pressure from which on consumers get all they want.")
    ] = 10.0,
    json: Json = False,
) -> None:
    """Rank every pipe by what is lost while its segment is cut off, pressure-driven from the model's time 0."""
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from ingest.files.customers import read_customers
    from ingest.files.valves import read_valves
    from models.supply.isolation.answer import Terms
    from models.supply.isolation.criticality import find_segments, losses_in_turn
    from twin.criticality import ranked

    terms = Terms(
        valves=None if valves is None else tuple(read_valves(valves)),
        inoperable=ids(inoperable),
        closed=ids(closed),
        required_pressure_m=required_pressure_m,
    )
    known = None if customers is None else read_customers(customers)
    inp, losses = network.read_bytes(), []
    with engine_pool(load_settings()) as pool:
        found = find_segments(inp, terms, pool)
        with rows_shown("segments", 0, len(found.segments) + 1, shown=True, unit="segments") as show:
            for loss in losses_in_turn(inp, found, terms, hours, pool):
                losses.append(loss)
                show(1)
    nothing, *segments = losses
    anyway = sorted({*nothing.junctions_short, *nothing.dry_nodes})
    pipes = ranked(segments, anyway, known)
    if json:
        print_json(
            {
                "hours": hours,
                "required_pressure_m": required_pressure_m,
                "valves_assumed": found.valves_assumed,
                "engine": found.engine,
                "without_water_anyway": anyway,
                "pipes": [_words(pipe) for pipe in pipes],
            }
        )
    else:
        _print(pipes, anyway, hours, assumed=found.valves_assumed)


def _words(pipe: PipeCriticality) -> dict[str, Any]:
    loss = pipe.loss
    known: dict[str, Any] = {
        "id": pipe.pipe_id,
        "customers": pipe.customers,
        "sensitive": None if pipe.sensitive is None else list(pipe.sensitive),
        "junctions_short": list(loss.junctions_short),
        "first_short_at_h": loss.first_short_at_h,
        "undelivered_m3": loss.undelivered_m3,
        "newly_without_water": list(pipe.newly_without),
        "single_point_of_failure": pipe.is_single_point_of_failure,
        "unintended_nodes": list(loss.unintended_nodes),
        "cut_off_with": [other for other in loss.pipes if other != pipe.pipe_id],
        "valves": list(loss.valves),
    }
    if loss.error:
        known |= dict.fromkeys(("customers", "sensitive", "junctions_short", "undelivered_m3", "newly_without_water"))
        known["error"] = loss.error
    return known


def _print(pipes: list[PipeCriticality], anyway: list[str], hours: int, *, assumed: bool) -> None:
    columns = ("pipe", "customers", "sensitive", "nodes", "from (h)", "not delivered (m3)", "single point of failure")
    rows = [
        (
            pipe.pipe_id,
            "?" if pipe.customers is None or pipe.loss.error else pipe.customers,
            "?" if pipe.sensitive is None or pipe.loss.error else len(pipe.sensitive),
            "?" if pipe.loss.error else len(pipe.newly_without),
            "" if pipe.loss.first_short_at_h is None else f"{pipe.loss.first_short_at_h:g}",
            "?" if pipe.loss.error else f"{pipe.loss.undelivered_m3:.1f}",
            "yes" if pipe.is_single_point_of_failure else "",
        )
        for pipe in pipes[:_SHOWN]
    ]
    print_table(f"The {len(rows)} most critical of {len(pipes)} pipes, {hours} h", columns, rows, empty="No pipes.")
    if assumed:
        typer.echo("No valves are known: each pipe can be shut at both its ends.")
    if anyway:
        more = ", ..." if len(anyway) > _SHOWN else ""
        typer.echo(f"Without enough water with all pipes open, and not counted: {', '.join(anyway[:_SHOWN])}{more}")
    if failed := [pipe for pipe in pipes if pipe.loss.error]:
        typer.echo(f"Of {len(failed)} pipes nothing is known; the first, {failed[0].pipe_id}: {failed[0].loss.error}")
