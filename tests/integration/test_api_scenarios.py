"""Scenarios of the running twin: asked for, watched, cancelled, kept, compared; a process that ends loses none."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from isolation_town import CUSTOMERS, NETWORK
from served import T0, House, served
from servers.process import free_port, wait_until
from supply_networks import a_sensor

from api.bootstrap import Models
from api.scenario_desk import ScenarioDesk
from ingest.files.customers import read_customers
from models.pool import EnginePool
from models.supply.scenarios.batch import Batch
from models.supply.scenarios.present import Present
from models.supply.scenarios.run import answers_in_turn
from twin.clock import ReplayClock, format_time
from twin.network import NetworkKind
from twin.ports import ModelFile
from twin.readings import reading_from_raw
from twin.scenarios import Scenario
from twin.storage.registry import open_registry
from twin.units import Quantity

INP = NETWORK.format(p5="Open", p7=300).encode()
SHUT_P3 = {"name": "shut P3", "hours": 6, "actions": [{"kind": "close", "links": ["P3", "P5"]}]}
FIRE = {"name": "fire", "hours": 6, "actions": [{"kind": "fire_flow", "node": "D", "flow_m3s": 0.05}]}


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2) as pool:
        yield pool


class Gate:
    """Lets a desk answer run by run, as far as the test says."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self.permits = threading.Semaphore(0)
        self.is_open = False

    def __call__(
        self, inp: bytes, scenarios: Sequence[Scenario], present: Present | None, say: Callable[[str], None]
    ) -> Generator[dict[str, Any], None, None]:
        for answer in answers_in_turn(inp, scenarios, self._pool, present=present):
            if not self.is_open:
                self.permits.acquire(timeout=60)
            yield answer


@contextmanager
def town(
    folder: Path, pool: EnginePool, gate: Gate | None = None, dask_scheduler: str | None = None
) -> Iterator[tuple[House, ScenarioDesk]]:
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    models = Models(registry, pool, dask_scheduler=dask_scheduler)
    registry.save_model_file(ModelFile(NetworkKind.SUPPLY, "town", hashlib.sha256(INP).hexdigest(), INP, T0))
    (folder / "customers.csv").write_text(CUSTOMERS)
    registry.upsert_customers(read_customers(folder / "customers.csv"))
    with served(folder, network=models.network, scenarios_asked=lambda: desk.wake()) as house:
        desk = a_desk(house, models, gate)
        desk.start()
        try:
            yield house, desk
        finally:
            if gate is not None:
                gate.is_open = True
                gate.permits.release(100)
            desk.stop()
    registry.close()


def a_desk(house: House, models: Models, gate: Gate | None = None) -> ScenarioDesk:
    presents = partial(models.present, house.services.readings)
    return ScenarioDesk(house.services.registry, ReplayClock(T0), gate or models.answer_scenarios, presents)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, pool: EnginePool) -> Iterator[House]:
    with town(tmp_path_factory.mktemp("town"), pool) as (house, _):
        yield house


def ask(client: httpx.Client, *scenarios: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = client.post("/api/v1/scenarios", json={"scenarios": scenarios}, headers=headers)
    assert answer.status_code == 202, answer.text
    asked: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/scenarios/{asked['job_id']}"
    return asked


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    wait_until(lambda: client.get(f"/api/v1/scenarios/{job_id}").json()["ended_at"] is not None, what="the job")
    job: dict[str, Any] = client.get(f"/api/v1/scenarios/{job_id}").json()
    return job


def test_the_result_is_what_the_engine_says_beside_its_base_run_with_customers_counted(
    house: House, pool: EnginePool
) -> None:
    with house.client("operator") as operator, house.client("viewer") as viewer:
        job = ended(operator, ask(operator, SHUT_P3, FIRE)["job_id"])
        assert (job["state"], job["runs"], job["runs_done"]) == ("done", 3, 3)
        found = viewer.get(f"/api/v1/scenarios/{job['job_id']}/result").json()
    batch = Batch.of([SHUT_P3, FIRE])
    expected = batch.outcome(list(answers_in_turn(INP, batch.runs, pool)))
    shut = found["scenarios"][0]
    assert shut["against_base"]["newly_short"] == ["C", "D"]
    assert shut.pop("customers") == {"newly_short": 3, "newly_short_sensitive": 1}
    assert found["scenarios"][1].pop("customers") == {"newly_short": 0, "newly_short_sensitive": 0}
    assert {name: found[name] for name in ("base", "scenarios")} == json.loads(json.dumps(expected))
    assert found["model_sha256"] == hashlib.sha256(INP).hexdigest()


def test_a_job_that_dask_left_alone_is_done_here_and_says_so(tmp_path: Path, pool: EnginePool) -> None:
    scheduler = f"tcp://127.0.0.1:{free_port()}"
    with town(tmp_path, pool, dask_scheduler=scheduler) as (house, _), house.client("operator") as client:
        job = ended(client, ask(client, SHUT_P3)["job_id"])
    assert job["state"] == "done"
    assert job["detail"].startswith(f"run on this machine, not by the Dask scheduler {scheduler}: it cannot be reached")


def test_results_are_kept_listed_and_compared(house: House) -> None:
    with house.client("operator") as client:
        one, other = (ended(client, ask(client, words)["job_id"])["job_id"] for words in (SHUT_P3, FIRE))
        listed = [job["job_id"] for job in client.get("/api/v1/scenarios?state=done").json()["items"]]
        assert {one, other} <= set(listed)
        pair = {"job_id": one, "scenario": "shut P3", "other_job_id": other, "other_scenario": "fire"}
        found = client.get("/api/v1/scenarios/comparison", params=pair).json()
        assert found["newly_short"] == ["C", "D"]
        against_base = {**pair, "other_scenario": "base"}
        whole = client.get(f"/api/v1/scenarios/{one}/result").json()["scenarios"][0]["against_base"]
        assert client.get("/api/v1/scenarios/comparison", params=against_base).json() == whole
        missing = client.get("/api/v1/scenarios/comparison", params={**pair, "scenario": "nothing"})
        assert missing.status_code == 404
        assert client.delete(f"/api/v1/scenarios/{one}").status_code == 204
        assert client.get(f"/api/v1/scenarios/{one}").status_code == 404


def test_from_now_on_the_measured_level_decides_how_long_a_tank_lasts(tmp_path: Path, pool: EnginePool) -> None:
    # C and D take 4 L/s (14.4 m3/h): cut off from R, T lasts 60 m3 with the model's level, 20 m3 with what is measured
    cut = {"name": "cut", "hours": 6, "actions": [{"kind": "close", "links": ["P3"]}]}
    level = a_sensor("LT", Quantity.LEVEL, "T")
    with town(tmp_path, pool) as (house, _), house.client("operator") as client:
        house.services.registry.upsert_sensors([level])
        known, late = (
            reading_from_raw(level, observed_at=T0 - timedelta(minutes=1), available_at=available, raw_value=value)
            for available, value in ((T0, 2.0), (T0 + timedelta(seconds=1), 3.0))
        )
        house.services.readings.append([known, replace(late, observed_at=T0)])
        found = {}
        for asked in ({"start": "model"}, {"start": "now"}, {"start": "now", "members": 12}):
            answer = client.post("/api/v1/scenarios", json={"scenarios": [cut], **asked})
            job = ended(client, answer.json()["job_id"])
            assert job["state"] == "done", job["detail"]
            found[job["job_id"]] = client.get(f"/api/v1/scenarios/{job['job_id']}/result").json()
        one, other = list(found)[:2]
        pair = {"job_id": one, "scenario": "cut", "other_job_id": other, "other_scenario": "cut"}
        apart = client.get("/api/v1/scenarios/comparison", params=pair)
        assert (apart.status_code, "different states" in apart.json()["detail"]) == (409, True)
    from_model, from_now, with_members = found.values()
    assert from_model["scenarios"][0]["tanks"]["T"]["empty_at_h"] == pytest.approx(60 / 14.4, abs=0.02)
    assert "state_at" not in from_model
    assert from_now["scenarios"][0]["tanks"]["T"]["start_level_m"] == pytest.approx(2.0)
    assert from_now["scenarios"][0]["tanks"]["T"]["empty_at_h"] == pytest.approx(20 / 14.4, abs=0.02)
    assert (from_now["state_at"], from_now["start"]) == (format_time(T0), "now")
    assert "tank T: level 2.00 m observed" in " ".join(from_now["state_basis"])
    ensemble = with_members["scenarios"][0].pop("ensemble")
    assert ensemble["members"] == 12
    assert ensemble["tanks_empty"]["T"]["probability"] == 1.0
    assert ensemble["tanks_empty"]["T"]["p10_h"] < 20 / 14.4 < ensemble["tanks_empty"]["T"]["p90_h"]
    likelier = with_members["scenarios"][0]["against_base"].pop("likelier")
    assert {one["id"]: (one["base_probability"], one["probability"]) for one in likelier} == {"C": (0, 1), "D": (0, 1)}
    from_now["scenarios"][0]["against_base"].pop("likelier")
    assert with_members["scenarios"] == from_now["scenarios"]


def test_members_are_for_the_present(house: House) -> None:
    with house.client("operator") as client:
        answer = client.post("/api/v1/scenarios", json={"scenarios": [SHUT_P3], "members": 20})
    assert answer.status_code == 422
    assert 'ask for them with "start": "now"' in answer.json()["detail"]


def test_the_same_key_asks_once(house: House) -> None:
    with house.client("operator") as client:
        first = ask(client, SHUT_P3, **{"Idempotency-Key": "shift-7"})
        again = ask(client, SHUT_P3, **{"Idempotency-Key": "shift-7"})
        assert again["job_id"] == first["job_id"]
        other = client.post("/api/v1/scenarios", json={"scenarios": [FIRE]}, headers={"Idempotency-Key": "shift-7"})
        assert other.status_code == 409
        ended(client, first["job_id"])


def test_what_cannot_be_run_is_refused_or_fails_by_name(house: House) -> None:
    with house.client("operator") as client:
        wrong = client.post("/api/v1/scenarios", json={"scenarios": [{"name": "s", "actions": [{"kind": "x"}]}]})
        assert wrong.status_code == 422
        assert "scenario 1: actions[0].kind must be one of" in wrong.json()["detail"]
        assert client.post("/api/v1/scenarios", json={"scenarios": []}).status_code == 422
        unknown = {"name": "s", "actions": [{"kind": "close", "links": ["nowhere"]}]}
        job = ended(client, ask(client, unknown)["job_id"])
        assert (job["state"], job["detail"]) == ("failed", "scenario s: the network has no link nowhere")
        result = client.get(f"/api/v1/scenarios/{job['job_id']}/result")
        assert result.status_code == 409
        assert "it is failed, scenario s: the network has no link nowhere" in result.json()["detail"]


def test_progress_comes_as_events_and_a_job_can_be_cancelled(tmp_path: Path, pool: EnginePool) -> None:
    gate = Gate(pool)
    with town(tmp_path, pool, gate) as (house, _), house.client("operator") as client:
        job_id = ask(client, SHUT_P3, FIRE)["job_id"]
        gate.permits.release(2)
        told = []
        with client.stream("GET", f"/api/v1/scenarios/{job_id}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    told.append(json.loads(line.removeprefix("data: ")))
                    if (told[-1]["state"], told[-1]["runs_done"]) == ("running", 2):
                        assert client.post(f"/api/v1/scenarios/{job_id}/cancel").json()["state"] == "cancelled"
                        gate.permits.release(1)
        assert told[-1]["state"] == "cancelled"
        assert [job["runs_done"] for job in told] == sorted(job["runs_done"] for job in told)
        assert client.post(f"/api/v1/scenarios/{job_id}/cancel").status_code == 409
        assert client.get(f"/api/v1/scenarios/{job_id}/result").status_code == 409
        gate.is_open = True
        assert ended(client, ask(client, FIRE)["job_id"])["state"] == "done"
        actions = [entry["action"] for entry in _audit(house)]
        assert actions.count("scenarios.asked") == 2
        assert actions.count("scenarios.cancelled") == 1


def _audit(house: House) -> list[dict[str, Any]]:
    with house.client("admin") as admin:
        items: list[dict[str, Any]] = admin.get("/api/v1/audit", params={"limit": 1000}).json()["items"]
    return items


def test_a_job_in_hand_when_its_process_ends_is_done_by_the_next(tmp_path: Path, pool: EnginePool) -> None:
    gate = Gate(pool)
    with town(tmp_path, pool, gate) as (house, desk), house.client("operator") as client:
        job_id = ask(client, SHUT_P3, FIRE)["job_id"]
        gate.permits.release(1)
        wait_until(lambda: client.get(f"/api/v1/scenarios/{job_id}").json()["runs_done"] == 1, what="the first run")
        gate.permits.release(1)
        desk.stop()
        assert client.get(f"/api/v1/scenarios/{job_id}").json()["state"] == "running"
        following = a_desk(house, Models(house.services.registry, pool))
        following.start()
        job = ended(client, job_id)
        following.stop()
        assert (job["state"], job["runs_done"]) == ("done", 3)
