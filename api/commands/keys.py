"""`h2twin keys`: make, list and revoke API keys; works offline on the data folder."""

from __future__ import annotations

from typing import Annotated

import typer

from api.commands.options import DataDir, Json, print_json, print_table

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command("create")
def create(
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")],
    name: Annotated[str, typer.Option(help="Whose key it is; shown in the audit.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make a key. It is shown once; only its hash is kept."""
    from api.auth import make_key
    from api.bootstrap import offline

    with offline(data_dir) as here:
        key, secret = make_key(name, role, here.clock.now())
        here.registry.save_key(key)
        here.audit("keys.create", key.key_id, f"role {role}, name {name}")
    if json:
        print_json({"id": key.key_id, "key": secret, "role": key.role})
    else:
        typer.echo(f"API key: {secret}\nRole: {key.role}  Id: {key.key_id}\nIt is not shown again.")


@app.command("list")
def list_keys(data_dir: DataDir = None, json: Json = False) -> None:
    """List the keys (never their secrets)."""
    from api.bootstrap import offline

    with offline(data_dir) as here:
        keys = here.registry.keys()
    if json:
        items = [
            {"id": k.key_id, "name": k.name, "role": k.role, "created_at": k.created_at, "revoked_at": k.revoked_at}
            for k in keys
        ]
        print_json({"items": items})
    else:
        rows = [(k.key_id, k.name, k.role, k.created_at, k.revoked_at) for k in keys]
        empty = "No keys. Make one: h2twin keys create --role operator --name NAME"
        print_table("API keys", ("id", "name", "role", "created", "revoked"), rows, empty=empty)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id.")], data_dir: DataDir = None, json: Json = False
) -> None:
    """Revoke a key; it stays in the list."""
    from dataclasses import replace

    from api.bootstrap import offline
    from twin.errors import NotFoundError

    with offline(data_dir) as here:
        key = here.registry.key(key_id)
        if key is None:
            raise NotFoundError(f"no key {key_id!r}; `h2twin keys list` shows them")
        revoked = key if key.revoked_at else replace(key, revoked_at=here.clock.now())
        here.registry.save_key(revoked)
        here.audit("keys.revoke", key_id)
    if json:
        print_json({"id": revoked.key_id, "revoked_at": revoked.revoked_at})
    else:
        typer.echo(f"Revoked {key_id}.")
