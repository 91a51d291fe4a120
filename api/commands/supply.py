"""`h2twin supply`: run a supply model without the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import Json, print_json, print_table, readable, say
from api.commands.supply_backtest_state import backtest_state
from api.commands.supply_calibrate import calibrate
from api.commands.supply_criticality import criticality
from api.commands.supply_demand import backtest_demand, forecast_demand
from api.commands.supply_gis import export_gis, import_gis
from api.commands.supply_mismatch import mismatch
from api.commands.supply_outage import outage
from api.commands.supply_scenario import scenario
from api.run_table import writable, write_run

app = typer.Typer(help="Run the supply model.", no_args_is_help=True)


app.command("backtest-state")(backtest_state)
app.command("calibrate")(calibrate)
app.command("criticality")(criticality)
app.command("forecast-demand")(forecast_demand)
app.command("backtest-demand")(backtest_demand)
app.command("export-gis")(export_gis)
app.command("import-gis")(import_gis)
app.command("mismatch")(mismatch)
app.command("outage")(outage)
app.command("scenario")(scenario)


@app.callback()
def _group() -> None:
    """Run the supply model."""


@app.command("run")
def run(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    hours: Annotated[int, typer.Option(min=0, max=24 * 366, help="How long to run.")] = 24,
    out: Annotated[
        Path | None, typer.Option(callback=writable, help="Write every value to this .parquet or .csv file.")
    ] = None,
    json: Json = False,
) -> None:
    """Run an EPANET model as it is, from its own time 0, and show what came out (SI whatever the file's units)."""
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from models.supply.run import run_network

    with engine_pool(load_settings(), workers=1) as pool:
        answer = run_network(network.read_bytes(), pool, hours=hours)
    if out is not None:
        say(f"{write_run(out, answer)} rows in {out}")
    if json:
        print_json(answer)
        return
    junctions = ((node, v["pressure_m"]) for node, v in answer["nodes"].items() if v["type"] == "junction")
    rows = sorted(((node, min(m), max(m)) for node, m in junctions), key=lambda row: row[1])
    columns = ("node", "lowest pressure (m)", "highest pressure (m)")
    print_table(f"{network.name}: the 20 lowest pressures in {hours} h", columns, rows[:20], empty="No nodes.")
