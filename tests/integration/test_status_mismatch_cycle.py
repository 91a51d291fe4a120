"""A pipe that somebody closes in the town becomes an incident by its name, and ends when it is opened again.

The whole cycle runs hour by hour on real stores, over readings of another engine (EPANET 2.2 of WNTR).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from cycle_parts import Town, a_town
from supply_grid import SENSORS, START, close_between, grid_inp, leak_at, real_town

from models.pool import EnginePool
from models.supply.model import EpanetSupply
from twin.clock import ReplayClock
from twin.cycle import CycleRules
from twin.forecasts import RunKind
from twin.incidents import Incident, IncidentKind, IncidentState
from twin.mismatch import Verdict

CLOSED_AT_H, OPENED_AT_H, END_H = 32, 46, 60


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as engines:
        yield engines


@contextmanager
def a_grid(folder: Path, pool: EnginePool, change: Callable[[Any], None] | None) -> Iterator[Town]:
    """Yield the town with all readings it will ever have in its store."""
    tracks = real_town(folder, change)
    with a_town(folder, *(track.sensor for track in tracks)) as town:
        models: Any = town.models
        models.supply_model = EpanetSupply(grid_inp().encode(), pool, model_id="grid", zone=UTC)
        models.drainage_model = None
        town.clock = ReplayClock(START)
        town.rules = CycleRules(supply_horizon_s=3600)
        town.cycle = town.new_cycle()
        for track in tracks:
            town.readings.append(track.readings())
        yield town


def live(town: Town, first: int, last: int) -> None:
    """Turn the cycle every hour."""
    for hour in range(first, last):
        town.clock.advance_to(START + timedelta(hours=hour))
        outcome = town.cycle.turn()
        assert outcome.ok, outcome.runs


def of_status(town: Town) -> list[Incident]:
    return list(town.registry.incidents(kind=IncidentKind.STATUS_MISMATCH).items)


def test_a_closed_pipe_is_an_incident_until_it_is_opened(tmp_path: Path, pool: EnginePool) -> None:
    with a_grid(tmp_path, pool, close_between("h00", CLOSED_AT_H, OPENED_AT_H)) as town:
        live(town, 0, CLOSED_AT_H)
        assert of_status(town) == []
        live(town, CLOSED_AT_H, 42)
        (opened,) = of_status(town)
        assert opened.cause_key == "status:h00"
        assert "h00 closed" in opened.cause
        assert opened.opened_at <= START + timedelta(hours=CLOSED_AT_H + 5)
        town.cycle = town.new_cycle()  # a restart: what was usual is read from the store
        live(town, 42, OPENED_AT_H)
        assert [incident.incident_id for incident in town.registry.open_incidents()] == [opened.incident_id]
        live(town, OPENED_AT_H, END_H)
        (closed,) = of_status(town)
        assert closed.state is IncidentState.CLOSED


def test_a_leak_opens_no_incident_about_a_status_and_is_told_in_the_state(tmp_path: Path, pool: EnginePool) -> None:
    with a_grid(tmp_path, pool, leak_at("J21", CLOSED_AT_H, 0.03)) as town:
        live(town, 0, 44)
        assert of_status(town) == []
        run = town.registry.latest_run(RunKind.SUPPLY, good_only=True)
        assert run is not None
        assert run.supply is not None
        assert run.supply.mismatch is not None
        assert run.supply.mismatch.verdict is Verdict.LEAK


def test_an_ordinary_town_keeps_its_residuals_and_opens_nothing(tmp_path: Path, pool: EnginePool) -> None:
    with a_grid(tmp_path, pool, None) as town:
        live(town, 0, 44)
        assert of_status(town) == []
        at = START + timedelta(hours=40)
        kept = town.registry.residuals(start=at, end=at + timedelta(minutes=1)).items
        assert {one.sensor_id for one in kept} == {*(f"pressure:{node}" for node in SENSORS), "flow:M1", "flow:M2"}
        for one in kept:
            (reading,) = town.readings.between(one.sensor_id, at, at + timedelta(minutes=1))
            assert (one.observed, one.observed_at, one.known_at) == (reading.value, at, at)
        pressures = [one.value for one in kept if one.sensor_id.startswith("pressure")]
        assert max(abs(value) for value in pressures) < 1.5  # the model's pipes and consumers are not the town's
