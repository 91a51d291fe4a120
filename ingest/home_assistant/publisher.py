"""Keeps Home Assistant told of sensors and figures, at a modest pace, by one process of an installation at a time.

States are those of the newest *trusted* reading; a sensor that is silent, or stale by its sender's word, is shown as
unavailable and never with an old value as if it were now. Household meters are left out unless asked for. What is no
longer there gets an empty retained message, also what an earlier run left behind.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ingest.home_assistant import entities
from ingest.home_assistant.board import Board
from twin.clock import Clock
from twin.errors import TwinError
from twin.kpis import Kpi
from twin.ports import Coordination, ReadingStore, SensorRegistry, StaleMarks
from twin.readings import Reading, Sensor
from twin.staleness import stale_since

_LOG = logging.getLogger(__name__)
_LEASE = "home_assistant"
_SHARE = 0.1
"""Looking for changes takes about this share of the time where the store is slow."""
_LONGEST_WAIT_S, _LEASE_S = 20.0, 45.0


@dataclass(frozen=True, slots=True)
class HomeAssistantSettings:
    """Where and how much is told. `left_behind` are discovery prefixes that were used before and are to be cleared."""

    prefix: str = "homeassistant"
    on: bool = True
    meters: bool = False
    left_behind: tuple[str, ...] = ()
    pace_s: float = 5.0
    kpis_every_s: float = 1800.0
    settle_s: float = 2.0
    at_once: int = 500


class Memory(SensorRegistry, StaleMarks, Coordination, Protocol):
    """What is looked up besides readings."""


class HomeAssistantPublisher:
    """A thread that survives what it meets; `kpis` returns the figures to show."""

    def __init__(
        self,
        broker_url: str,
        settings: HomeAssistantSettings,
        *,
        readings: ReadingStore,
        registry: Memory,
        clock: Clock,
        kpis: Callable[[], Sequence[Kpi]],
        when_cleared: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker_url = broker_url
        self._settings = settings
        self._readings = readings
        self._registry = registry
        self._clock = clock
        self._kpis = kpis
        self._when_cleared = when_cleared
        self._left_behind = list(settings.left_behind)
        self._stop = threading.Event()
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._figures: Sequence[Kpi] = ()
        self._figures_at: float | None = None
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="home-assistant", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Say that we are gone, and end."""
        self._stop.set()
        self._thread.join(15.0)
        try:
            self._registry.release_lease(_LEASE, self._holder)
        except TwinError as error:
            _LOG.warning("the lease of Home Assistant was not given back: %s", error)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._clear_what_was_left()
                if not self._settings.on:
                    return
                self._tell_until_stopped()
            except TwinError as error:
                self._warn(str(error))
            except Exception:  # a defect here must not end what the service is for
                _LOG.exception("Home Assistant could not be told")
            self._stop.wait(self._settings.pace_s)

    def _clear_what_was_left(self) -> None:
        """Take back, once, what was told under other prefixes, or before it was switched off."""
        while self._left_behind:
            prefix = self._left_behind[-1]
            with self._board(prefix) as board:
                self._wait_for_leftovers(board)
                things = [topic.split("/")[-2] for topic in board.there]
                board.clear([*board.there, *(topic for thing in things for topic in _topics_of(thing))])
            self._left_behind.pop()
            _LOG.info("Home Assistant is told of nothing any more under %s", prefix)
            if not self._left_behind:
                self._when_cleared()

    def _tell_until_stopped(self) -> None:
        while not self._stop.is_set():
            if not self._is_our_turn():
                self._stop.wait(self._settings.pace_s)
                continue
            with self._board(self._settings.prefix) as board:
                self._wait_for_leftovers(board)
                while not self._stop.is_set() and self._is_our_turn():
                    board.wait_ready()
                    begun_s = time.monotonic()
                    self._tell(board)
                    self._told = ""
                    took_s = time.monotonic() - begun_s
                    self._stop.wait(min(max(self._settings.pace_s, took_s / _SHARE), _LONGEST_WAIT_S))

    def _tell(self, board: Board) -> None:
        """Publish what has changed, no more than `at_once` messages; the rest has its turn next time."""
        now = self._clock.now()
        sensors = {
            sensor_id: sensor
            for sensor_id, sensor in self._registry.sensors().items()
            if self._settings.meters or not entities.is_private(sensor)
        }
        latest = self._readings.latest(list(sensors), at=now)
        gone = stale_since(self._registry.stale_marks(), latest, now=now)
        figures = self._newest_figures()
        wanted: dict[str, bytes] = {}
        states: dict[str, bytes] = {}
        for sensor in sensors.values():
            thing = entities.object_of("sensor", sensor.sensor_id)
            wanted[entities.config_topic(self._settings.prefix, thing)] = entities.sensor_config(sensor)
            states |= _sensor_messages(sensor, thing, latest.get(sensor.sensor_id), sensor.sensor_id in gone, now)
        for kpi in figures:
            thing = entities.kpi_object(kpi)
            wanted[entities.config_topic(self._settings.prefix, thing)] = entities.kpi_config(kpi)
            states[entities.availability_topic(thing)] = entities.OFFLINE if kpi.value is None else entities.ONLINE
            if kpi.value is not None:
                states[entities.state_topic(thing)] = entities.kpi_state(kpi)
        for topic in board.there - wanted.keys():
            for cleared in (topic, *_topics_of(topic.split("/")[-2])):
                board.show(cleared, b"")
        left = self._settings.at_once
        for topic, payload in (*wanted.items(), *states.items()):
            left -= board.show(topic, payload)
            if left <= 0:
                return

    def _newest_figures(self) -> Sequence[Kpi]:
        now_s = time.monotonic()
        if self._figures_at is None or now_s - self._figures_at >= self._settings.kpis_every_s:
            self._figures = [kpi for kpi in self._kpis() if not kpi.subject.startswith("sensor:")]
            self._figures_at = now_s
        return self._figures

    def _is_our_turn(self) -> bool:
        return self._registry.acquire_lease(_LEASE, self._holder, ttl_s=_LEASE_S, now=self._clock.now())

    def _wait_for_leftovers(self, board: Board) -> None:
        """Wait until the broker has handed over what it retained of an earlier run."""
        board.wait_ready()
        self._stop.wait(self._settings.settle_s)

    def _board(self, prefix: str) -> Board:
        return Board(
            self._broker_url,
            watched=entities.config_filter(prefix),
            status_topic=entities.STATUS_TOPIC,
            online=entities.ONLINE,
            offline=entities.OFFLINE,
        )

    def _warn(self, what: str) -> None:
        if what != self._told:
            _LOG.warning("Home Assistant is not told: %s", what)
        self._told = what


def _sensor_messages(
    sensor: Sensor, thing: str, reading: Reading | None, is_gone: bool, now: datetime
) -> dict[str, bytes]:
    lives = reading is not None and not is_gone and not sensor.is_silent(reading.observed_at, now=now)
    messages = {entities.availability_topic(thing): entities.ONLINE if lives else entities.OFFLINE}
    if reading is not None and lives:
        messages[entities.state_topic(thing)] = entities.sensor_state(sensor, reading)
    return messages


def _topics_of(thing: str) -> tuple[str, str]:
    return entities.state_topic(thing), entities.availability_topic(thing)
