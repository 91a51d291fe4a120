"""Every fault in short, drawn from one seed: what the broker acknowledged is stored or a dead letter, once.

`make faults` is the long run. The table is printed at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.catalogue import IN_SHORT, Fault
from faults.run import Outcome, Scale, Servers, run_fault, table
from servers import postgres
from servers.influxdb import influxdb

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.timeout(180)]

SEED = 1
SHORT = Scale(messages=1500, kills=1, restarts=1)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[list[Outcome]]:
    found: list[Outcome] = []
    yield found
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n\nfaults with seed {SEED}\n{table(found)}\n")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with influxdb(tmp_path_factory.mktemp("influx")) as influx, ExitStack() as stack:
        registry = tmp_path_factory.mktemp("postgres")
        yield Servers(influx, stack.enter_context(postgres.postgres(registry)) if postgres.find() else "")


def run(fault: Fault, folder: Path, servers: Servers, outcomes: list[Outcome]) -> None:
    place = folder / "-".join(fault.name.split())
    place.mkdir()
    outcome = run_fault(fault, SHORT, seed=SEED, folder=place, servers=servers)
    outcomes.append(outcome)
    assert outcome.wrongs == []
    assert outcome.acknowledged == outcome.stored + outcome.dead
    assert (outcome.lost, outcome.doubled) == (0, 0)


def named(fault: Fault) -> str:
    return fault.name


@pytest.mark.parametrize("fault", [fault for fault in IN_SHORT if not fault.on_influx], ids=named)
def test_in_the_embedded_store_nothing_is_lost(fault: Fault, tmp_path: Path, outcomes: list[Outcome]) -> None:
    run(fault, tmp_path, Servers(), outcomes)


@pytest.mark.needs_influxdb
@pytest.mark.parametrize("fault", [fault for fault in IN_SHORT if fault.on_influx], ids=named)
def test_behind_the_spool_nothing_is_lost(
    fault: Fault, tmp_path: Path, servers: Servers, outcomes: list[Outcome]
) -> None:
    run(fault, tmp_path, servers, outcomes)
