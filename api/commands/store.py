"""`h2twin store`: how full the reading store is, sealing of old days, and readings out into files."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import DataDir, Json, print_json, print_table

if TYPE_CHECKING:
    from twin.ports import ReadingStore, Upkeep

app = typer.Typer(help="Look at the reading store, seal old days, export readings.", no_args_is_help=True)


@app.command("stats")
def stats(
    verify: Annotated[bool, typer.Option("--verify", help="Read every sealed file and compare its digest.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Say how many readings are kept, how many wait, and which days are sealed."""
    from api.bootstrap import offline
    from twin.ports import Upkeep

    with offline(data_dir) as here:
        store = here.open_readings()
        held = store.stats()
        files = store.sealed_files() if isinstance(store, Upkeep) else {}
        if verify and isinstance(store, Upkeep):
            store.verify_sealed()
    sealed = sum(file.readings for file in files.values())
    days = [{"day": day.date().isoformat(), "file": f.name, "readings": f.readings, "bytes": f.size, "sha256": f.digest}
            for day, f in files.items()]  # fmt: skip
    if json:
        counts = {"readings": held.readings, "waiting": held.pending, "quarantined": held.quarantined}
        print_json({**counts, "sealed_readings": sealed, "sealed_days": days, "verified": verify and bool(files)})
        return
    typer.echo(f"{held.readings} readings, {held.pending} waiting for the server, {held.quarantined} quarantined.")
    rows = [(day["day"], day["readings"], day["bytes"], str(day["sha256"])[:16]) for day in days]
    empty = "No day is sealed."
    print_table(f"{sealed} readings in sealed days", ("day", "readings", "bytes", "SHA-256"), rows, empty=empty)
    if verify and files:
        typer.echo("Every file is what was sealed.")


@app.command("seal")
def seal(
    older_than_days: Annotated[
        int, typer.Option("--older-than-days", min=1, help="Seal days that ended so long ago.")
    ] = 30,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write old days to Parquet, read them back, and only then take them out of the database (a service may run)."""
    from api.bootstrap import offline
    from api.progress import rows_shown

    with offline(data_dir) as here:
        store = _that_seals(here.open_readings())
        now = here.clock.now()
        with rows_shown("sealing", 0, 0, shown=not json, unit="days") as show:
            files = store.seal(now - timedelta(days=older_than_days), now=now, told=lambda _, days: show(1, days))
        outcome = {
            "days": len(files),
            "readings": sum(file.readings for file in files),
            "bytes": sum(file.size for file in files),
        }
        here.audit("store.seal", "readings", str(outcome))
    if json:
        print_json(outcome)
    else:
        typer.echo(f"{outcome['days']} days sealed: {outcome['readings']} readings in {outcome['bytes'] / 1e6:.1f} MB.")


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="The file to write: .csv or .parquet; it must not exist.")],
    start: Annotated[str | None, typer.Option("--from", help="Not before this time (RFC 3339).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Before this time (RFC 3339).")] = None,
    sensors: Annotated[list[str] | None, typer.Option("--sensor", help="Only this sensor; repeat for several.")] = None,
    judged: Annotated[
        bool, typer.Option("--judged", help="Add value_si, unit_si, quality and reasons (not for importing).")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write readings as they arrived, in the columns that `import readings` takes; hot and sealed ones alike."""
    from api.bootstrap import offline
    from api.export_readings import export_readings
    from twin.clock import parse_time

    bounds: list[datetime | None] = [None if text is None else parse_time(text) for text in (start, end)]
    with offline(data_dir) as here:
        outcome = export_readings(here, file, *bounds, only=sensors, judged=judged, progress=not json)
        here.audit("store.export", file.name, str(outcome))
    if json:
        print_json(outcome)
    else:
        typer.echo(f"Wrote {outcome['readings']} readings of {outcome['sensors']} sensors to {file}.")


def _that_seals(store: ReadingStore) -> Upkeep:
    from twin.errors import ConfigError
    from twin.ports import Upkeep

    if not isinstance(store, Upkeep):
        raise ConfigError("readings are in InfluxDB, which keeps its own files: nothing is sealed here")
    return store
