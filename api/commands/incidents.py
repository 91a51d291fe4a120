"""`h2twin incidents`: look at what is wrong, acknowledge it, put it aside for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from api.commands.options import DataDir, Json, plain, print_json, print_table

app = typer.Typer(help="List, acknowledge and shelve incidents.", no_args_is_help=True)

IncidentId = Annotated[str, typer.Argument(help="The incident's id.")]
By = Annotated[str, typer.Option("--by", help="Who does this; shown in the audit.")]


@app.command("list")
def list_incidents(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not closed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List incidents, newest first."""
    from api.bootstrap import offline
    from twin.incidents import IncidentState

    with offline(data_dir) as here:
        page = here.registry.incidents(state=IncidentState.OPEN if open_only else None, limit=limit)
    if json:
        print_json({"items": [plain(incident) for incident in page.items], "next_cursor": page.next_cursor})
        return
    rows = [(i.incident_id, i.kind, i.state, i.opened_at, len(i.connection_ids), i.cause) for i in page.items]
    columns = ("id", "kind", "state", "opened", "connections", "cause")
    print_table("Incidents", columns, rows, empty="No incidents.")


@app.command("acknowledge")
def acknowledge(incident_id: IncidentId, by: By, data_dir: DataDir = None, json: Json = False) -> None:
    """Mark that a person has seen the incident."""
    from api.bootstrap import offline
    from twin.incident_desk import IncidentDesk

    with offline(data_dir) as here:
        incident = IncidentDesk(here.registry, here.clock).acknowledge(incident_id, by=by)
    _answer(incident, json, f"{incident_id} acknowledged by {by}.")


@app.command("shelve")
def shelve(
    incident_id: IncidentId,
    by: By,
    reason: Annotated[str, typer.Option(help="Why it can wait.")],
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 30, help="For how long.")] = 8.0,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Put the incident aside; it comes back by itself."""
    from api.bootstrap import offline
    from twin.incident_desk import IncidentDesk

    with offline(data_dir) as here:
        until = here.clock.now() + timedelta(hours=hours)
        incident = IncidentDesk(here.registry, here.clock).shelve(incident_id, by=by, until=until, reason=reason)
    _answer(incident, json, f"{incident_id} shelved until {until:%Y-%m-%d %H:%M}Z.")


@app.command("unshelve")
def unshelve(incident_id: IncidentId, by: By, data_dir: DataDir = None, json: Json = False) -> None:
    """Take the incident back before its time."""
    from api.bootstrap import offline
    from twin.incident_desk import IncidentDesk

    with offline(data_dir) as here:
        incident = IncidentDesk(here.registry, here.clock).unshelve(incident_id, by=by)
    _answer(incident, json, f"{incident_id} is back.")


def _answer(incident: object, json: bool, sentence: str) -> None:
    if json:
        print_json(incident)
    else:
        typer.echo(sentence)
