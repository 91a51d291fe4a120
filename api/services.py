"""What the web application and the command line are given by `api.bootstrap`: ports and use cases, ready wired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from twin.clock import Clock
from twin.network import Network, NetworkKind
from twin.ports import ReadingStore, Registry


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running h2twin, by their ports.

    `network` returns the imported network of a kind, or None when none was imported (it may take seconds the first
    time: it parses the model file apart from this process). `exercise` is True in demo and replay.
    `cycle_s` is the period at which a good cycle is expected; `/readyz` judges the last one's age by it.
    """

    clock: Clock
    readings: ReadingStore
    registry: Registry
    network: Callable[[NetworkKind], Network | None]
    timezone: ZoneInfo
    cycle_s: float
    exercise: bool
    required_pressure_m: float = 10.0
