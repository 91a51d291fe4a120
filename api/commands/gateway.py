"""`h2twin gateway`: readings from a pipe or a file, through an outbox on the disk, to any broker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from api.commands.options import Json, print_json, readable, say


def gateway(
    gateway_id: Annotated[str, typer.Option("--gateway-id", help="Its name, the second level of its topics.")],
    outbox: Annotated[Path, typer.Option(help="File that keeps readings until the broker has them.")],
    broker: Annotated[str | None, typer.Option(help="mqtt[s]://user:password@host:port[?protocol=3.1.1]")] = None,
    broker_file: Annotated[
        Path | None, typer.Option(help="File with the broker's address, so that no process list shows it.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Readings: .csv or JSON lines [default: JSON lines on stdin].")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Read CSV also where the name does not say so.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for lines that are added to the file.")] = False,
    receipts: Annotated[
        bool, typer.Option("--receipts", help="Answer each line on stdout when its readings are on the disk.")
    ] = False,
    singles: Annotated[bool, typer.Option("--singles", help="One message for each reading.")] = False,
    most_mb: Annotated[int, typer.Option("--outbox-mb", min=1, help="Size that the outbox may grow to.")] = 256,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Days to keep what is sent, to answer requests for what got lost.")
    ] = 7.0,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the broker at the end.")] = 60.0,
    json: Json = False,
) -> None:
    """Send readings so that none is lost: they are on the disk first, numbered, and sent until acknowledged.

    A line is {"sensor_id": "P-1", "observed_at": "2026-01-01T00:00:00Z", "value": 3.2, "unit": "m"}; CSV has the
    columns sensor_id,observed_at,value[,unit]. What the broker does not have at the end waits for the next run.
    """
    import threading
    from dataclasses import asdict
    from datetime import timedelta

    from ingest.gateway import Gateway
    from ingest.gateway_feed import csv_lines, feed, followed, json_lines, print_receipt
    from ingest.outbox import Outbox
    from twin.clock import SystemClock
    from twin.errors import ConfigError, InputError, UnavailableError

    if receipts and json:
        raise ConfigError("--receipts and --json both want stdout; choose one")
    if follow and file is None:
        raise ConfigError("--follow needs --file; standard input is followed anyway")
    url = _address(broker, broker_file)
    readable(file)
    lines = followed(file, follow=follow, stop=threading.Event()) if file else sys.stdin
    read = csv_lines if csv or (file is not None and file.suffix == ".csv") else json_lines
    kept = Outbox(outbox, SystemClock(), most_bytes=most_mb * 1_000_000, keep=timedelta(days=keep_days))
    with kept, Gateway(url, gateway_id, kept, singles=singles) as running:
        try:
            bad = feed(running, read(lines), receipt=print_receipt if receipts else None, complain=say)
            running.flush(wait)
        except KeyboardInterrupt:
            bad = 0
        status = running.status()
    if json:
        print_json(asdict(status) | {"bad_lines": bad})
    else:
        say(f"{status.taken} readings taken, {status.acknowledged} acknowledged, {status.waiting} wait in {outbox}")
    if status.waiting:
        raise UnavailableError(f"{status.waiting} readings wait in {outbox}: {status.trouble or 'the broker is slow'}")
    if bad:
        raise InputError(f"{bad} lines could not be read")


def _address(broker: str | None, broker_file: Path | None) -> str:
    from twin.errors import ConfigError

    if (broker is None) is (broker_file is None):
        raise ConfigError("name the broker with --broker or --broker-file")
    if broker_file is None:
        return broker or ""
    try:
        return broker_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the broker's address from {broker_file}: {error}") from error
