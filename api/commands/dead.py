"""`h2twin dead`: the messages that could not become readings, and why."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import DataDir, Json, print_json, print_table, say

if TYPE_CHECKING:
    from twin.ports import DeadLetter

app = typer.Typer(help="List, show and requeue dead letters.", no_args_is_help=True)


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
