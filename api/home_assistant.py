"""Joins what Home Assistant is told with the stores, and remembers on disk that it was told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from api.bootstrap import Memory
from api.settings import Settings
from twin.clock import Clock
from twin.kpi_report import FRESH_CYCLES, kpi_report
from twin.kpis import Kpi

if TYPE_CHECKING:
    from ingest.home_assistant.publisher import HomeAssistantPublisher

TOLD_FILE = "home-assistant.told"
"""Holds the discovery prefixes under which something was told, so that switching off can take it back."""
FIGURES_OVER = timedelta(hours=24)


def home_assistant_of(
    settings: Settings, memory: Memory, clock: Clock, broker_url: str, *, pace_s: float = 5.0
) -> HomeAssistantPublisher | None:
    """Return what tells Home Assistant, or takes back what it was told; None where there is nothing to do.

    Changes are looked for every `pace_s` seconds.
    """
    told = settings.data_dir / TOLD_FILE
    before = told.read_text(encoding="utf-8").split() if told.exists() else []
    if not settings.home_assistant and not before:
        return None
    from ingest.home_assistant.publisher import HomeAssistantPublisher, HomeAssistantSettings

    wanted = [settings.home_assistant_prefix] if settings.home_assistant else []
    _remember(told, [*dict.fromkeys([*before, *wanted])])
    return HomeAssistantPublisher(
        broker_url,
        HomeAssistantSettings(
            prefix=settings.home_assistant_prefix,
            on=settings.home_assistant,
            meters=settings.home_assistant_meters,
            pace_s=pace_s,
            left_behind=tuple(prefix for prefix in before if prefix not in wanted),
        ),
        readings=memory.readings,
        registry=memory.registry,
        clock=clock,
        kpis=lambda: _figures(settings, memory, clock),
        when_cleared=lambda: _remember(told, wanted),
    )


def _figures(settings: Settings, memory: Memory, clock: Clock) -> Sequence[Kpi]:
    now = clock.now()
    return kpi_report(
        memory.readings,
        memory.registry,
        start=now - FIGURES_OVER,
        end=now,
        now=now,
        flood_probability=settings.flood_probability,
        fresh_for=FRESH_CYCLES * timedelta(seconds=settings.cycle_s),
    )


def _remember(path: Path, prefixes: Sequence[str]) -> None:
    if prefixes:
        path.write_text("\n".join(prefixes) + "\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)
