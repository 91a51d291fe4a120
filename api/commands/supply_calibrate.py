"""`h2twin supply calibrate`: roughness and demand of a model from old readings, held by stated priors."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import Json, plain, print_json, print_table, readable, say

if TYPE_CHECKING:
    from models.supply.calibration import Calibration


def calibrate(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    scada: Annotated[Path, typer.Option(help="Folder of SCADA tables: pressures, flows, levels (.parquet or .csv).")],
    start: Annotated[str, typer.Option("--from", help="Begin of the readings to calibrate on.")],
    end: Annotated[str, typer.Option("--to", help="Their end.")],
    every_h: Annotated[int, typer.Option(min=1, max=24, help="Hours between two moments.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the calibrated INP here, if it is recommended.")] = None,
    anyway: Annotated[bool, typer.Option(help="Write it also if it is not recommended.")] = False,
    json: Json = False,
) -> None:
    """Calibrate roughness (by groups of pipes) and demand (by districts) and say how far each went from its prior.

    Not recommended, and not written, is a model in which a closed valve or a leak explains the readings better than the
    calibration does, or whose parameters end at their bounds: that is to be put right first.
    """
    from api.bootstrap import engine_pool
    from api.scada_tables import read_scada
    from api.settings import load_settings
    from models.supply.calibration import calibrate as fit
    from models.supply.calibration import calibrated_inp, describe
    from models.supply.loader import load_model
    from twin.clock import parse_time
    from twin.errors import InputError

    inp, first, last = network.read_bytes(), parse_time(start), parse_time(end)
    with engine_pool(load_settings(), workers=1) as pool:
        found = fit(inp, read_scada(scada), pool, start=first, end=last, zone=UTC, every_h=every_h)
        facts = load_model(inp, pool).facts
    written = out is not None and (anyway or not found.why_not)
    if out is not None and written:
        try:
            out.write_text(calibrated_inp(inp.decode("utf-8-sig", "replace"), facts, found), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
    if json:
        print_json({**plain(describe(found, start=first, end=last)), "written": str(out) if written else None})
        return
    _print(found)
    if out is not None:
        say(f"{out} was written" if written else f"{out} was not written: see above, or use --anyway")


def _print(found: Calibration) -> None:
    rows = [
        (one.name, one.factor, one.prior_sd, one.moved_sd, one.sd_after, "at its bound" if one.at_bound else "")
        for one in found.parameters
    ]
    columns = ("parameter", "factor", "prior sd (ln)", "moved (sd)", "sd after (ln)", "")
    title = f"mean error {found.before_mae_m:.3f} m before, {found.after_mae_m:.3f} m after"
    print_table(title, columns, rows, empty="No parameter.")
    for reason in found.why_not:
        typer.echo(f"not recommended: {reason}")
