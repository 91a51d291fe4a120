"""Who is asking, and what they may do.

A key is `h2_{key_id}_{secret}` with a secret of 256 random bits. Only a salted HMAC-SHA256 of the secret is kept. A
slow password hash would buy nothing: nobody can try 2^256 secrets, while every request would pay for it. (Passwords
that people choose are another matter; h2twin has none.) Comparisons take constant time, and an unknown key costs as
much as a known one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from api.problems import Unauthenticated
from api.services import Services
from twin.clock import as_utc
from twin.errors import ForbiddenError, InputError
from twin.ports import ApiKey, AuditEntry, KeyStore


class Role(StrEnum):
    """What a key may do; each role may do everything the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may do."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


_KEY = re.compile(r"h2_([0-9a-f]{12})_([0-9a-f]{64})")
_NO_HASH = "hmac-sha256$00$00"
NAME_LIMIT = 100


def make_key(name: str, role: Role | str, now: datetime) -> tuple[ApiKey, str]:
    """Make a key: what is kept of it, and the text that is shown once and never again.

    Raises:
        InputError: If the role is unknown, or the name is empty, too long or not printable.
    """
    if role not in list(Role):
        raise InputError(f"unknown role {str(role)!r}; roles are {', '.join(Role)}")
    name = name.strip()
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise InputError(f"a key needs a name of 1 to {NAME_LIMIT} printable characters: it stands in the audit log")
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    key = ApiKey(key_id, name, str(role), _hash(secret, secrets.token_hex(16)), as_utc(now))
    return key, f"h2_{key_id}_{secret}"


def find_key(keys: KeyStore, text: str) -> ApiKey | None:
    """Return the valid, unrevoked key that `text` is, or None."""
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    key_id, secret = match.groups()
    key = keys.key(key_id)
    kept = key.secret_hash if key else _NO_HASH
    is_right = hmac.compare_digest(_hash(secret, kept.split("$")[1]), kept)
    return key if key and is_right and key.revoked_at is None else None


def _hash(secret: str, salt: str) -> str:
    digest = hmac.new(salt.encode(), secret.encode(), hashlib.sha256).hexdigest()
    return f"hmac-sha256${salt}${digest}"


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that asks, as the audit log and the pages speak of it."""

    key_id: str
    name: str
    role: Role

    @property
    def actor(self) -> str:
        """How the audit log names the caller: names may repeat, ids do not."""
        return f"{self.name} ({self.key_id})"

    def may(self, needed: Role) -> bool:
        """Whether the caller's role includes `needed`."""
        return self.role.includes(needed)


def caller_of(key: ApiKey) -> Caller:
    """Return the caller that a valid key stands for."""
    return Caller(key.key_id, key.name, Role(key.role))


def audit(services: Services, actor: str, action: str, subject: str, detail: str = "") -> None:
    """Write down who did what to which thing, now."""
    services.registry.record(AuditEntry(services.clock.now(), actor, action, subject, detail))


def require(services: Services, caller: Caller, needed: Role, step: str) -> None:
    """Let the caller pass, or write the refusal down and refuse.

    Raises:
        ForbiddenError: If the caller's role does not include `needed`.
    """
    if caller.may(needed):
        return
    audit(services, caller.actor, "refused", step, f"role {caller.role} is not {needed}")
    raise ForbiddenError(f"{step} needs the role {needed}; the key {caller.name!r} has the role {caller.role}")


def services_of(request: Request) -> Services:
    """Return the services the application was created with."""
    services: Services = request.app.state.services
    return services


_bearer = HTTPBearer(
    scheme_name="api_key",
    description="An h2twin key, `h2_{id}_{secret}`. Scopes are the roles: viewer < operator < admin.",
    auto_error=False,
)


def _known(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Caller | None:
    """Return who asks: nobody without a key, but a wrong key is refused."""
    if credentials is None:
        if "authorization" in request.headers:
            raise Unauthenticated("send the key as Authorization: Bearer h2_...")
        return None
    key = find_key(services_of(request).registry, credentials.credentials)
    if key is None:
        raise Unauthenticated("this key is unknown or revoked; `h2twin keys create` makes a new one")
    return caller_of(key)


def _authorized(request: Request, scopes: SecurityScopes, caller: Annotated[Caller | None, Security(_known)]) -> Caller:
    if caller is None:
        raise Unauthenticated("a key is needed: send Authorization: Bearer h2_...; `h2twin keys create` makes one")
    services = services_of(request)
    for needed in scopes.scopes:
        require(services, caller, Role(needed), f"{request.method} {request.url.path}")
    return caller


KnownCaller = Annotated[Caller | None, Security(_known)]
Viewer = Annotated[Caller, Security(_authorized, scopes=[Role.VIEWER.value])]
Operator = Annotated[Caller, Security(_authorized, scopes=[Role.OPERATOR.value])]
Admin = Annotated[Caller, Security(_authorized, scopes=[Role.ADMIN.value])]
