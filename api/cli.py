"""The command line `h2twin`: parse, call, print, and turn errors into exit codes.

0 done (also after Ctrl-C), 1 unexpected, 2 configuration, 3 input, 4 unavailable, 5 model.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from api.commands import (
    consumption,
    dead,
    demo,
    doctor,
    flood,
    gaps,
    gateway,
    importing,
    incidents,
    isolate,
    keys,
    notices,
    operate,
    safekeeping,
    sniff,
    store,
    supply,
    weather,
)
from twin.errors import TwinError

app = typer.Typer(
    name="h2twin",
    help="The open digital twin of a city's water: supply, sewers and stormwater in one service.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command("demo")(demo.demo)
app.command("serve")(operate.serve)
app.command("replay")(demo.replay)
app.command("import")(importing.import_file)
app.add_typer(doctor.app, name="doctor")
app.command("alive")(operate.alive)
app.add_typer(dead.app, name="dead")
app.add_typer(gaps.app, name="gaps")
app.command("gateway")(gateway.gateway)
app.add_typer(sniff.app, name="ingest")
app.add_typer(supply.app, name="supply")
app.command("isolate")(isolate.isolate)
app.add_typer(flood.app, name="flood")
app.add_typer(weather.app, name="weather")
app.add_typer(incidents.app, name="incidents")
app.add_typer(notices.app, name="notices")
app.command("kpis")(operate.kpis)
app.add_typer(consumption.app, name="consumption")
app.add_typer(store.app, name="store")
app.command("settings")(operate.show_settings)
app.add_typer(keys.app, name="keys")
app.command("backup")(safekeeping.backup)
app.command("restore")(safekeeping.restore)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"h2twin {installed('h2twin')}")
        raise typer.Exit


def main() -> None:
    """Run the command line and end with the exit code that the error tree gives."""
    try:
        app(standalone_mode=False)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(0)
    except TwinError as error:
        typer.echo(f"h2twin: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone (`h2twin … | head`): nothing is wrong, and nothing can be said any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # the last resort of the whole program: one line for the person, exit code 1
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # a click usage error
            typer.echo(f"h2twin: {error.format_message()}", err=True)
            sys.exit(int(error.exit_code))
        if os.environ.get("TWIN_LOG_LEVEL") == "debug":
            raise
        typer.echo(f"h2twin: unexpected {type(error).__name__}: {error}", err=True)
        sys.exit(1)
