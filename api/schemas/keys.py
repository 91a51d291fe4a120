"""API keys, never their secrets (but once, when a key is made)."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.auth import Role
from api.schemas.base import In, Out, example


class KeyOut(Out):
    """A key as kept."""

    model_config = example(
        {
            "key_id": "0a1b2c3d4e5f",
            "name": "night shift",
            "role": "operator",
            "created_at": "2026-01-01T00:00:00Z",
            "revoked_at": None,
        }
    )

    key_id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


class KeyIn(In):
    """Make a key."""

    model_config = example({"name": "night shift", "role": "operator"}, In)

    name: str = Field(min_length=1, max_length=100)
    role: Role


class NewKeyOut(Out):
    """A new key. `key` is shown this once."""

    model_config = example({"id": "0a1b2c3d4e5f", "key": "h2_0a1b2c3d4e5f_…", "role": "operator"})

    id: str
    key: str
    role: Role
