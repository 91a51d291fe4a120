"""`h2twin supply backtest-state`: how well the online state foresees pressures, over old readings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from api.commands.options import Json, print_json, print_table, readable, say


def backtest_state(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    scada: Annotated[Path, typer.Option(help="Folder of SCADA tables: pressures, flows, levels (.parquet or .csv).")],
    start: Annotated[str, typer.Option("--from", help="First hour [default: the first in the tables].")] = "",
    end: Annotated[str, typer.Option("--to", help="First hour no more [default: the last in the tables].")] = "",
    every_h: Annotated[int, typer.Option(min=1, max=168, help="Hours between one start and the next.")] = 1,
    json: Json = False,
) -> None:
    """Foresee every pressure one hour ahead from each hour of old readings, and say how far off that was (m).

    The state at t is derived as the service derives it, from what was read up to t. Beside it stand persistence (the
    value read at t) and the model's own run, which uses no reading. Bias is forecast minus observed.
    """
    from api.bootstrap import engine_pool
    from api.scada_tables import read_scada
    from api.settings import load_settings
    from models.supply.backtest_state import backtest_state as walk

    tracks = read_scada(scada)
    say(f"{sum(len(track.times_s) for track in tracks)} readings of {len(tracks)} sensors")
    with engine_pool(load_settings(), workers=None) as pool:
        answer = walk(
            network.read_bytes(), tracks, pool, start=_given(start), end=_given(end), every_h=every_h, zone=UTC
        )
    if json:
        print_json(answer)
        return
    _print(network.name, answer)


def _given(text: str) -> datetime | None:
    from twin.clock import parse_time

    return parse_time(text) if text else None


def _print(name: str, answer: dict[str, Any]) -> None:
    methods = [(method, of["mae_m"], of["bias_m"], of["rmse_m"]) for method, of in answer["methods"].items()]
    span = f"{answer['from']} to {answer['to']}, {answer['hours']} hours, {answer['hours_failed']} without an answer"
    print_table(f"{name}: 1 h ahead, {span}", ("method", "MAE (m)", "bias (m)", "RMSE (m)"), methods, empty="")
    rows = [
        (sensor, of["mae_m"], of["bias_m"], of["persistence_mae_m"], of["model_mae_m"])
        for sensor, of in answer["sensors"].items()
    ]
    columns = ("sensor at", "MAE (m)", "bias (m)", "persistence MAE (m)", "model's own MAE (m)")
    print_table("by sensor", columns, rows, empty="")
