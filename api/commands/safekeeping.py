"""`h2twin backup` and `h2twin restore`: everything of a data folder in one file, taken while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import DataDir, Json, print_json, readable, say


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write (.tar.gz).")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write a consistent copy of the data folder; the service may go on."""
    from api.backup import kept_elsewhere, write_backup
    from api.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    outcome = write_backup(settings.data_dir, file)
    elsewhere = kept_elsewhere(settings)
    for part in elsewhere:
        say(f"Not in this backup: {part}.")
    if json:
        print_json({**outcome, "not_included": elsewhere})
    else:
        typer.echo(f"Wrote {outcome['files']} files to {file} ({outcome['bytes'] / 1e6:.1f} MB).")


def restore(
    file: Annotated[Path, typer.Argument(callback=readable, help="The archive to read.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Bring a backup back into an empty data folder (a full one is refused)."""
    from api.backup import read_backup
    from api.bootstrap import data_folder

    outcome = read_backup(file, data_folder(data_dir))
    if json:
        print_json(outcome)
    else:
        typer.echo(f"Restored {outcome['files']} files from {file}.")
