"""`h2twin supply scenario`: what if - and who gains, who loses, beside the run in which nothing happens."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import Json, print_json, print_table, readable
from api.progress import rows_shown
from twin.errors import InputError

if TYPE_CHECKING:
    from models.supply.scenarios.batch import Batch

_SHOWN = 20


def scenario(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    scenarios: Annotated[
        Path, typer.Option(callback=readable, help="JSON: a scenario, or a list of them (docs/scenarios.md).")
    ],
    json: Json = False,
) -> None:
    """Run scenarios of a model, cold from its time 0 and pressure-driven, and compare each with its base run."""
    from api.bootstrap import engine_pool, scenario_engines
    from api.settings import load_settings
    from models.supply.scenarios.run import answers_in_turn

    batch = _read(scenarios)
    settings = load_settings()
    answers: list[dict[str, Any]] = []
    with (
        engine_pool(settings) as pool,
        scenario_engines(settings.dask_scheduler, pool, partial(typer.echo, err=True)) as engines,
        rows_shown("scenarios", 0, len(batch.runs), shown=True, unit="scenarios") as show,
    ):
        for answer in answers_in_turn(network.read_bytes(), batch.runs, engines):
            answers.append(answer)
            show(1)
    outcome = batch.outcome(answers)
    if json:
        print_json(outcome)
        return
    for answer in outcome["scenarios"]:
        _print(answer)


def _read(path: Path) -> Batch:
    import json as plain_json

    from models.supply.scenarios.batch import Batch

    try:
        return Batch.of(plain_json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {error}") from None
    except InputError as error:
        raise InputError(f"{path.name}, {error}") from None


def _print(answer: dict[str, Any]) -> None:
    if "error" in answer:
        typer.echo(f"{answer['name']}: no answer: {answer['error']}")
        return
    against = answer["against_base"]
    changes = [*against["losers"], *against["gainers"]]
    rows = [(change["id"], change["base_share"], change["share"], change["change_m3"]) for change in changes[:_SHOWN]]
    columns = ("junction", "delivered before", "delivered now", "change (m3)")
    title = f"{answer['name']}: {len(against['losers'])} junctions lose, {len(against['gainers'])} gain"
    print_table(title, columns, rows, empty=f"{answer['name']}: nobody loses or gains water.")
    if against["newly_short"]:
        typer.echo(f"newly short: {', '.join(against['newly_short'][:_SHOWN])}")
    for tank, change in against["tanks"].items():
        if change["newly_empty"]:
            typer.echo(f"tank {tank} runs empty after {answer['tanks'][tank]['empty_at_h']:g} h")
    typer.echo(f"pump energy {answer['energy_kwh']:.1f} kWh ({against['energy_kwh_change']:+.1f} kWh)")
