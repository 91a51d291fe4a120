"""`h2twin flood`: run a drainage model without the service, with observed rain or over a forecast ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import Json, print_json, print_table, readable

app = typer.Typer(help="Run the drainage model.", no_args_is_help=True)

Model = Annotated[Path, typer.Option("--model", callback=readable, help="SWMM 5.2 INP file.")]
StateIn = Annotated[Path | None, typer.Option(callback=readable, help="Begin with this saved state.")]


@app.command("run")
def run(
    model: Model,
    rain: Annotated[Path, typer.Option(callback=readable, help="CSV gage_id,observed_at,rain_mm,interval_s.")],
    state_in: StateIn = None,
    state_out: Annotated[Path | None, typer.Option(help="Write the state at the end here.")] = None,
    start: Annotated[str | None, typer.Option(help="ISO 8601 with zone [default: the rain's beginning].")] = None,
    json: Json = False,
) -> None:
    """Run a model with observed rain; depths, floods and volumes per node in SI."""
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from models.drainage.run import flood_run
    from twin.clock import parse_time

    with engine_pool(load_settings(), workers=1) as pool:
        answer, state = flood_run(
            model.read_bytes(),
            rain.read_bytes(),
            state_in=state_in.read_bytes() if state_in else None,
            start=parse_time(start) if start else None,
            pool=pool,
        )
    if state_out is not None:
        state_out.write_bytes(state)
    if json:
        print_json(answer)
        return
    flooded = {node: v for node, v in answer["nodes"].items() if v["flooded_m3"] > 0}
    rows = sorted(
        ((n, v["flooded_m3"], v["max_depth_m"], v["first_flooded_at"]) for n, v in flooded.items()),
        key=lambda row: -row[1],
    )
    columns = ("node", "flooded (m3)", "greatest depth (m)", "first flooded")
    empty = f"No node floods ({answer['rain_in_mm']:.1f} mm of rain)."
    print_table(f"{model.name}: {answer['rain_in_mm']:.1f} mm of rain", columns, rows, empty=empty)


@app.command("forecast")
def forecast(
    model: Model,
    ensemble: Annotated[Path, typer.Option(callback=readable, help="Weather ensemble, internal JSON.")],
    state_in: StateIn = None,
    flood_threshold_m3: Annotated[float, typer.Option(min=0, help="From this volume on a member floods a node.")] = 1.0,
    json: Json = False,
) -> None:
    """Run every member of a weather ensemble; flood probability, onset, depth and volume per node."""
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from ingest.weather.files import parse_file
    from models.drainage.run import flood_forecast
    from twin.clock import SystemClock

    settings = load_settings()
    weather = parse_file(ensemble.read_bytes(), now=SystemClock().now(), keep_negative=True)
    with engine_pool(settings) as pool:
        answer = flood_forecast(
            model.read_bytes(),
            weather,
            state_in=state_in.read_bytes() if state_in else None,
            flood_threshold_m3=flood_threshold_m3,
            pool=pool,
        )
    if json:
        print_json(answer)
        return
    if answer.get("status") == "insufficient":
        typer.echo("Insufficient: too few members could be run to state probabilities.")
        return
    rows = sorted(
        ((n, v["probability"], v["onset_median"], v["volume_p90_m3"]) for n, v in answer["nodes"].items()),
        key=lambda row: -row[1],
    )
    likely = [row for row in rows if row[1] > 0]
    columns = ("node", "probability", "onset (median)", "volume p90 (m3)")
    print_table(f"{model.name}: nodes that may flood", columns, likely, empty="No member floods any node.")
