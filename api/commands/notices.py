"""`h2twin notices`: what the public is told; approve, publish or cancel it."""

from __future__ import annotations

from typing import Annotated

import typer

from api.commands.options import DataDir, Json, plain, print_json, print_table

app = typer.Typer(help="List, approve, publish and cancel notices.", no_args_is_help=True)

NoticeId = Annotated[str, typer.Argument(help="The notice's id.")]
By = Annotated[str, typer.Option("--by", help="Who does this; shown in the audit.")]


@app.command("list")
def list_notices(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100, data_dir: DataDir = None, json: Json = False
) -> None:
    """List notices, newest first."""
    from api.bootstrap import offline

    with offline(data_dir) as here:
        page = here.registry.notices(limit=limit)
    if json:
        print_json({"items": [plain(notice) for notice in page.items], "next_cursor": page.next_cursor})
        return
    rows = [(n.notice_id, n.state, n.kind, n.updated_at, len(n.connection_ids), _headline(n.texts)) for n in page.items]
    columns = ("id", "state", "kind", "updated", "connections", "headline")
    print_table("Notices", columns, rows, empty="No notices.")


@app.command("approve")
def approve(notice_id: NoticeId, by: By, data_dir: DataDir = None, json: Json = False) -> None:
    """Approve a draft."""
    _step("approve", notice_id, by, data_dir, json)


@app.command("publish")
def publish(notice_id: NoticeId, by: By, data_dir: DataDir = None, json: Json = False) -> None:
    """Publish an approved notice."""
    _step("publish", notice_id, by, data_dir, json)


@app.command("cancel")
def cancel(notice_id: NoticeId, by: By, data_dir: DataDir = None, json: Json = False) -> None:
    """Withdraw a notice that was never published."""
    _step("cancel", notice_id, by, data_dir, json)


def _step(verb: str, notice_id: str, by: str, data_dir: DataDir, json: bool) -> None:
    from api.bootstrap import offline

    with offline(data_dir) as here:
        notice = getattr(here.noticeboard, verb)(notice_id, by=by)
    if json:
        print_json(notice)
    else:
        typer.echo(f"{notice_id} is {notice.state}.")


def _headline(texts: object) -> str:
    return next((text.headline for text in texts.values()), "") if isinstance(texts, dict) else ""
