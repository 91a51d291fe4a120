"""Health."""

from __future__ import annotations

from api.schemas.base import Out, example


class HealthOut(Out):
    """The process answers."""

    model_config = example({"status": "ok", "version": "0.1.0"})

    status: str
    version: str


class CheckOut(Out):
    """One thing that h2twin needs to do its work. `detail` and `age_s` are shown to viewers only."""

    name: str
    ok: bool
    detail: str | None = None
    age_s: float | None = None


class ReadyOut(Out):
    """Whether h2twin can do its work, and each check that was made."""

    model_config = example(
        {
            "status": "not_ready",
            "checks": [
                {"name": "readings", "ok": True, "detail": "answers and can be written", "age_s": None},
                {"name": "supply_cycle", "ok": False, "detail": "no run for 900 s", "age_s": 900.0},
            ],
        }
    )

    status: str
    checks: list[CheckOut]
