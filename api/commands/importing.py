"""`h2twin import`: sensors, customers, models, valves, readings and weather from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import DataDir, Json, print_json, readable, say

KINDS = ("sensors", "customers", "network", "valves", "drainage", "readings", "weather")


def import_file(
    kind: Annotated[str, typer.Argument(help=f"What the file holds: {', '.join(KINDS)}.")],
    file: Annotated[Path, typer.Argument(callback=readable)],
    data_dir: DataDir = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Readings: begin anew where an import was left half done.")
    ] = False,
    json: Json = False,
) -> None:
    """Import a file: rows are added or replaced. A bad row is named with its line, and nothing is imported.

    Readings are different: bad rows go to the dead letters and the rest is imported. An import of readings that was
    interrupted goes on where it was when it is started again.
    """
    from api import importer
    from api.bootstrap import offline
    from twin.errors import InputError

    if kind not in KINDS:
        raise InputError(f"cannot import {kind!r}; known are {', '.join(KINDS)}")
    with offline(data_dir) as here:
        try:
            outcome = importer.import_file(here, kind, file, progress=not json, restart=restart)
        except KeyboardInterrupt:
            if kind == "readings":
                say("stopped: what was imported stays, and the same command goes on from there")
            raise
        here.audit(f"import.{kind}", file.name, str(outcome))
    if json:
        print_json(outcome)
    else:
        typer.echo(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in outcome.items()))
