"""What the web application and the command line are given by `api.bootstrap`: ports and use cases, ready wired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from twin.clock import Clock
from twin.isolation import IsolationQuestion
from twin.network import Network, NetworkKind
from twin.notices import Notice
from twin.ports import ReadingStore, Registry


class NoticeSteps(Protocol):
    """The steps a person may take a notice through (`twin.noticeboard.Noticeboard`); each is audited."""

    def approve(self, notice_id: str, *, by: str) -> Notice:
        """Approve a draft."""
        ...

    def publish(self, notice_id: str, *, by: str) -> Notice:
        """Publish an approved notice."""
        ...

    def cancel(self, notice_id: str, *, by: str) -> Notice:
        """Withdraw a notice that was never published."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running h2twin, by their ports.

    `network` returns the imported network of a kind, or None when none was imported (it may take seconds the first
    time: it parses the model file apart from this process). `exercise` is True in demo and replay.
    `cycle_s` is the period at which a good cycle is expected; `/readyz` judges the last one's age by it.
    `weather_in_use` is False where no weather service is wanted (TWIN_WEATHER=none): then only the season is known, but
    for an exercise that brings a weather of its own.
    `isolate` says how to cut a link or node off (`api.isolating`); None where no engine is at hand.
    `scenarios_asked` is called when there is a new job of scenarios (`api.scenario_desk`).
    `public_url` is where the public reaches this program, `notice_sender` who speaks: feeds and CAP name both.
    """

    clock: Clock
    readings: ReadingStore
    registry: Registry
    network: Callable[[NetworkKind], Network | None]
    noticeboard: NoticeSteps
    timezone: ZoneInfo
    cycle_s: float
    exercise: bool
    required_pressure_m: float = 10.0
    flood_probability: float = 0.3
    weather_in_use: bool = True
    public_url: str = "http://127.0.0.1:8000"
    notice_sender: str = "h2twin@localhost"
    isolate: Callable[[IsolationQuestion], dict[str, Any]] | None = None
    scenarios_asked: Callable[[], None] = lambda: None
