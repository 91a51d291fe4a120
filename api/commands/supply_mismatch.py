"""`h2twin supply mismatch`: which link's status, or which leak, explains what old readings say beside the model."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import Json, plain, print_json, print_table, readable
from twin.mismatch import Mismatch


def mismatch(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    scada: Annotated[Path, typer.Option(help="Folder of SCADA tables: pressures, flows, levels (.parquet or .csv).")],
    at: Annotated[str, typer.Option(help="The last moment that is judged.")],
    hours: Annotated[int, typer.Option(min=1, max=72, help="Hourly moments that are judged, up to then.")] = 8,
    usual_days: Annotated[
        float, typer.Option(min=0, max=60, help="Days before them whose residuals are usual; 0: none are known.")
    ] = 7.0,
    usual_to: Annotated[str, typer.Option(help="End of the usual days [default: before the judged hours].")] = "",
    json: Json = False,
) -> None:
    """Say whether a link is open or closed unlike in the model, or water is lost, or neither can be told.

    Every link is flipped and every junction leaks in turn, in the model itself. A status comes before a leak, and
    nothing is named that does not explain the residuals clearly better than everything else.
    """
    from api.bootstrap import engine_pool
    from api.scada_tables import read_scada
    from api.settings import load_settings
    from models.supply.suspicion import Search, search_mismatch
    from twin.clock import parse_time

    last = parse_time(at)
    until = parse_time(usual_to) if usual_to else last - timedelta(hours=hours)
    since = until - timedelta(days=usual_days) if usual_days else None
    search = Search(last, hours, since, until if usual_days else None)
    with engine_pool(load_settings(), workers=1) as pool:
        found = search_mismatch(network.read_bytes(), read_scada(scada), pool, search, zone=UTC)
    if json:
        print_json({**plain(found), "words": found.words})
        return
    _print(found)


def _print(found: Mismatch) -> None:
    typer.echo(f"{found.verdict}: {found.words}")
    if not found.candidates:
        return
    rows = [(candidate.words, candidate.explains, candidate.left) for candidate in found.candidates]
    print_table(f"of {found.tried} tried", ("candidate", "explains", "left (sum of squares)"), rows, empty="")
    if found.untried:
        typer.echo(f"{found.untried} were not tried: the time was up")
