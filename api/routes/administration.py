"""What keeps the place in order: the audit log, the keys, the dead letters."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request

from api.auth import Admin, Operator, Role, audit, make_key, services_of
from api.routes.query import Cursor, Id, Limit, page_by_key
from api.schemas.audit import AuditEntryOut
from api.schemas.base import PageOut, page_out
from api.schemas.dead_letters import DeadLetterOut, dead_letter_out
from api.schemas.keys import KeyIn, KeyOut, NewKeyOut
from twin.clock import format_time
from twin.errors import ConflictError, NotFoundError
from twin.ports import ApiKey

router = APIRouter(tags=["administration"])


@router.get("/audit")
def list_audit(request: Request, _: Admin, limit: Limit = 100, cursor: Cursor = None) -> PageOut[AuditEntryOut]:
    """List who did what, newest first."""
    page = services_of(request).registry.audit_entries(limit=limit, cursor=cursor)
    return page_out(page, AuditEntryOut.model_validate)


@router.get("/dead-letters")
def list_dead_letters(
    request: Request, _: Operator, limit: Limit = 100, cursor: Cursor = None
) -> PageOut[DeadLetterOut]:
    """List the messages that could not become readings, newest first."""
    return page_out(services_of(request).registry.dead_letters(limit=limit, cursor=cursor), dead_letter_out)


@router.get("/keys")
def list_keys(request: Request, _: Admin, limit: Limit = 100, cursor: Cursor = None) -> PageOut[KeyOut]:
    """List the keys in order of creation, revoked ones too; secrets are not kept and never shown."""
    keys = services_of(request).registry.keys()
    return page_out(page_by_key(keys, _age_key, of="keys", limit=limit, cursor=cursor), KeyOut.model_validate)


@router.post("/keys", status_code=201)
def create_key(request: Request, caller: Admin, body: KeyIn) -> NewKeyOut:
    """Make a key. It is shown once; only its hash is kept."""
    services = services_of(request)
    key, text = make_key(body.name, body.role, services.clock.now())
    services.registry.save_key(key)
    audit(services, caller.actor, "keys.create", key.key_id, f"role {key.role}, name {key.name}")
    return NewKeyOut(id=key.key_id, key=text, role=Role(key.role))


@router.post("/keys/{key_id}/revoke")
def revoke_key(request: Request, caller: Admin, key_id: Id) -> KeyOut:
    """Revoke a key; it stays in the list, and nothing it did is forgotten."""
    services = services_of(request)
    key = services.registry.key(key_id)
    if key is None:
        raise NotFoundError(f"there is no key {key_id!r}")
    if key.revoked_at is not None:
        raise ConflictError(f"key {key_id} was revoked at {format_time(key.revoked_at)}")
    revoked = replace(key, revoked_at=services.clock.now())
    services.registry.save_key(revoked)
    audit(services, caller.actor, "keys.revoke", key_id, f"name {key.name}")
    return KeyOut.model_validate(revoked)


def _age_key(key: ApiKey) -> str:
    return f"{key.created_at.timestamp():020.6f} {key.key_id}"
