"""`h2twin dead`: the messages that could not become readings, and why."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import DataDir, Json, print_json, print_table, say

if TYPE_CHECKING:
    from twin.ports import DeadLetter, RefusedReading

app = typer.Typer(help="List, show and requeue dead letters.", no_args_is_help=True)
quarantine = typer.Typer(help="List and release the readings that InfluxDB refused.", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")

NO_QUARANTINE = "There is no quarantine: readings are not kept in InfluxDB (TWIN_INFLUX_URL is not set)."


@app.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option(help="Where the last page ended.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List dead letters, newest first."""
    from api.bootstrap import offline

    with offline(data_dir) as here:
        page = here.registry.dead_letters(limit=limit, cursor=cursor)
    if json:
        print_json({"items": [as_json(letter) for letter in page.items], "next_cursor": page.next_cursor})
        return
    rows = [(x.letter_id, x.received_at, x.topic, x.reason, x.times_seen, x.detail) for x in page.items]
    columns = ("id", "received", "topic", "reason", "seen", "detail")
    print_table("Dead letters", columns, rows, empty="No dead letters: every message became a reading.")


@app.command("show")
def show(letter_id: Annotated[int, typer.Argument()], data_dir: DataDir = None, json: Json = False) -> None:
    """Show one dead letter with its payload."""
    from api.bootstrap import offline

    with offline(data_dir) as here:
        letter = here.registry.dead_letter(letter_id)
    if json:
        print_json(as_json(letter))
        return
    typer.echo(f"{letter.topic}\n{letter.reason}: {letter.detail}\nseen {letter.times_seen} times\n")
    typer.echo(letter.payload.decode("utf-8", "backslashreplace"))


@app.command("requeue")
def requeue(
    letter_ids: Annotated[list[int], typer.Argument(help="Ids of the letters.")],
    mqtt_url: Annotated[str | None, typer.Option("--mqtt-url", help="Broker [default: TWIN_MQTT_URL].")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Publish dead letters again, after their cause was mended; each is forgotten when the broker has it.

    A letter on a topic that no source takes is refused: it would be lost.
    """
    from api.bootstrap import offline, publisher

    with offline(data_dir, mqtt_url=mqtt_url) as here:
        from ingest.letters import requeue as requeue_letter
        from ingest.letters import require_taken
        from ingest.mappings import load_mappings

        sources = load_mappings(here.settings.mappings)
        for letter_id in letter_ids:
            require_taken(here.registry.dead_letter(letter_id), sources)
        came_back = []
        with publisher(here.settings) as publish:
            for letter_id in letter_ids:
                forgotten = requeue_letter(here.registry, publish, letter_id, sources)
                if not forgotten:
                    came_back.append(letter_id)
                here.audit("dead.requeue", str(letter_id))
                still_there = f"published {letter_id}, but it came back as dead: its cause is still there"
                say(f"requeued {letter_id}" if forgotten else still_there)
    if json:
        gone = [letter_id for letter_id in letter_ids if letter_id not in came_back]
        print_json({"requeued": gone, "came_back": came_back})


@quarantine.command("list")
def list_quarantined(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100, data_dir: DataDir = None, json: Json = False
) -> None:
    """List the readings that InfluxDB refused, with its reason; they are kept in the spool of the ingest role."""
    from api.bootstrap import offline
    from twin.ports import Quarantine

    with offline(data_dir) as here:
        store = here.open_readings()
        refused = store.quarantined(limit) if isinstance(store, Quarantine) else None
    if json:
        print_json({"items": [_refused_as_json(item) for item in refused or ()]})
        return
    if refused is None:
        typer.echo(NO_QUARANTINE)
        return
    rows = [(x.sensor_id, x.observed_at, x.raw_value, x.raw_unit, y.reason) for y in refused for x in (y.reading,)]
    columns = ("sensor", "observed", "value", "unit", "reason")
    print_table("Refused by InfluxDB", columns, rows, empty="Nothing is in quarantine: InfluxDB refused no reading.")


@quarantine.command("release")
def release_quarantined(data_dir: DataDir = None, json: Json = False) -> None:
    """Let every refused reading be sent to InfluxDB again, after the cause was mended."""
    from api.bootstrap import offline
    from twin.ports import Quarantine

    with offline(data_dir) as here:
        store = here.open_readings()
        released = store.release_quarantined() if isinstance(store, Quarantine) else None
        if released is not None:
            here.audit("dead.quarantine.release", "readings", f"{released} readings")
    if json:
        print_json({"released": released or 0})
    else:
        typer.echo(NO_QUARANTINE if released is None else f"{released} readings will be sent again.")


def _refused_as_json(refused: RefusedReading) -> dict[str, Any]:
    reading = refused.reading
    return {
        "sensor_id": reading.sensor_id,
        "observed_at": reading.observed_at,
        "raw_value": reading.raw_value,
        "raw_unit": reading.raw_unit,
        "line": refused.line,
        "reason": refused.reason,
    }


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """Return a letter as the contract has it: `payload` where it is text, else `payload_b64`."""
    item: dict[str, Any] = {
        "id": letter.letter_id,
        "received_at": letter.received_at,
        "topic": letter.topic,
        "reason": letter.reason,
        "detail": letter.detail,
        "times_seen": letter.times_seen,
    }
    try:
        item["payload"] = letter.payload.decode()
    except UnicodeDecodeError:
        item["payload_b64"] = base64.b64encode(letter.payload).decode()
    return item
