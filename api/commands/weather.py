"""`h2twin weather`: read a provider's answer, or see what the forecast rests on now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import DataDir, Json, plain, print_json, print_table, readable

app = typer.Typer(help="Read weather forecasts.", no_args_is_help=True)


@app.command("parse")
def parse(
    provider: Annotated[str, typer.Option(help="open_meteo, met_norway, nws, ipma or file.")],
    file: Annotated[Path, typer.Option(callback=readable, help="The provider's answer as received.")],
    json: Json = False,
) -> None:
    """Read a provider's answer and show its rain per member and step (unknown steps stay unknown)."""
    from ingest.weather.parsing import parse_steps, steps_document

    parsed = parse_steps(provider, file.read_bytes())
    if json:
        print_json(steps_document(parsed))
        return
    rows = [(m.member, len(m.steps), sum(s.rain_mm for s in m.steps if s.rain_mm is not None)) for m in parsed.members]
    empty = "The answer states no millimetres of rain."
    print_table(f"{file.name} ({provider})", ("member", "steps", "rain (mm)"), rows, empty=empty)


@app.command("show")
def show(data_dir: DataDir = None, json: Json = False) -> None:
    """Show the newest weather forecast that was got hold of, and its rung."""
    from api.bootstrap import offline

    with offline(data_dir) as here:
        ensemble = here.registry.latest_weather(known_at=here.clock.now())
    if json:
        print_json(plain(ensemble))
        return
    if ensemble is None:
        typer.echo("No weather forecast was got hold of yet.")
        return
    typer.echo(
        f"{ensemble.source} ({ensemble.rung}), available {ensemble.available_at:%Y-%m-%d %H:%M}Z, "
        f"{len(ensemble.members)} members, valid {ensemble.valid_from:%Y-%m-%d %H:%M}Z to "
        f"{ensemble.valid_to:%Y-%m-%d %H:%M}Z{', synthetic' if ensemble.synthetic else ''}"
    )
