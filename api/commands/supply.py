"""`h2twin supply`: run a supply model without the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import Json, print_json, print_table

app = typer.Typer(help="Run the supply model.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Run the supply model."""


@app.command("run")
def run(
    network: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="EPANET INP file.")],
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 366, help="How long to run.")] = 24.0,
    json: Json = False,
) -> None:
    """Run an EPANET model as it is, from its own time 0, and show what came out (SI whatever the file's units)."""
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from models.supply.run import supply_run

    with engine_pool(load_settings(), workers=1) as pool:
        answer = supply_run(network.read_bytes(), hours=hours, pool=pool)
    if json:
        print_json(answer)
        return
    nodes = answer["nodes"]
    rows = sorted(((n, min(v["pressure_m"]), max(v["pressure_m"])) for n, v in nodes.items()), key=lambda row: row[1])
    columns = ("node", "lowest pressure (m)", "highest pressure (m)")
    print_table(f"{network.name}: the 20 lowest pressures in {hours:g} h", columns, rows[:20], empty="No nodes.")
