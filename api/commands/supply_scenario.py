"""`h2twin supply scenario`: what if - and who gains, who loses, beside the run in which nothing happens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.commands.options import Json, print_json, print_table, readable
from api.progress import rows_shown
from twin.errors import InputError, ModelError

_MOST_SCENARIOS = 1000
_SHOWN = 20


def scenario(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    scenarios: Annotated[
        Path, typer.Option(callback=readable, help="JSON: a scenario, or a list of them (docs/scenarios.md).")
    ],
    json: Json = False,
) -> None:
    """Run scenarios of a model, cold from its time 0 and pressure-driven, and compare each with its base run."""
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from models.supply.scenarios.compare import compared
    from models.supply.scenarios.run import answers_in_turn

    asked = _read(scenarios)
    bases = {one.base for one in asked}
    to_run = [*sorted(bases, key=lambda base: (base.duration_s, base.required_pressure_m)), *asked]
    answers: list[dict[str, Any]] = []
    with (
        engine_pool(load_settings()) as pool,
        rows_shown("scenarios", 0, len(to_run), shown=True, unit="scenarios") as show,
    ):
        for answer in answers_in_turn(network.read_bytes(), to_run, pool):
            answers.append(answer)
            show(1)
    base_of = dict(zip(to_run, answers[: len(bases)], strict=False))
    for base in base_of.values():
        if "error" in base:
            raise ModelError(f"the network without any action cannot be run: {base['error']}")
    said = [
        answer if "error" in answer else {**answer, "against_base": compared(answer, base_of[one.base])}
        for one, answer in zip(asked, answers[len(bases) :], strict=True)
    ]
    if json:
        print_json({"base": [base_of[base] for base in to_run[: len(bases)]], "scenarios": said})
        return
    for answer in said:
        _print(answer)


def _read(path: Path) -> list[Any]:
    import json as plain_json

    from twin.scenarios import parse_scenario

    try:
        words = plain_json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {error}") from None
    listed = words if isinstance(words, list) else [words]
    if not 1 <= len(listed) <= _MOST_SCENARIOS:
        raise InputError(f"{path.name} must hold from 1 to {_MOST_SCENARIOS} scenarios, not {len(listed)}")
    found = []
    for number, one in enumerate(listed, start=1):
        try:
            found.append(parse_scenario(one))
        except InputError as error:
            raise InputError(f"{path.name}, scenario {number}: {error}") from None
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path.name}: two scenarios are called {twice[0]!r}")
    return found


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
