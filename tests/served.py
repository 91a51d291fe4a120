"""A whole web application for the tests: real uvicorn on loopback, real SQLite stores, a clock that stands still."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import uvicorn
from fastapi import FastAPI
from servers.process import wait_until

from api.app import create_app
from api.auth import make_key
from api.channels.texts import TextWriter
from api.services import Services
from twin.clock import ReplayClock
from twin.customers import Customer, Sensitivity
from twin.forecasts import (
    DrainageForecast,
    FailedMember,
    ForecastSeries,
    NodeFlood,
    PredictedOutage,
    Provenance,
    Run,
    Rung,
    RunKind,
    RunStatus,
    ShortageKind,
    SupplyForecast,
    TankOutlook,
)
from twin.incidents import Incident, IncidentKind, Severity
from twin.network import Link, LinkKind, Network, NetworkKind, Node, NodeKind
from twin.noticeboard import Noticeboard
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText, step
from twin.ports import Beat, DeadLetter, ModelFile
from twin.readings import ElementType, Quality, Reading, Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx would load all certificates anew for every client
ROLES = ("viewer", "operator", "admin")

NETWORK = Network(
    NetworkKind.SUPPLY,
    {
        "N-JUNCTION-7": Node("N-JUNCTION-7", NodeKind.JUNCTION, 12.0, 1.0, 2.0),
        "N-TANK-1": Node("N-TANK-1", NodeKind.TANK, 50.0, 0.0, 0.0),
    },
    {"L-VALVE-3": Link("L-VALVE-3", LinkKind.VALVE, "N-TANK-1", "N-JUNCTION-7", None, 0.2)},
    {"N-JUNCTION-7": "D1"},
)


@dataclass
class House:
    """A running application and everything behind it."""

    services: Services
    clock: ReplayClock
    app: FastAPI
    url: str
    keys: Mapping[str, str]

    def client(self, role: str | None = None, **headers: str) -> httpx.Client:
        """Return a client that carries the key of a role (none: no key)."""
        if role is not None:
            headers["Authorization"] = f"Bearer {self.keys[role]}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=_NO_TLS)


@contextmanager
def served(folder: Path, *, exercise: bool = False, **changes: Any) -> Iterator[House]:
    """Serve an empty installation with one key per role, and one that is revoked."""
    clock = ReplayClock(T0)
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    readings = SqliteReadings(folder / "readings.db")
    status = NoticeStatus.EXERCISE if exercise else NoticeStatus.ACTUAL
    board = Noticeboard(registry, writer=TextWriter(status=status), clock=clock, status=status)
    services = Services(
        clock=clock,
        readings=readings,
        registry=registry,
        network=lambda kind: NETWORK if kind is NetworkKind.SUPPLY else None,
        noticeboard=board,
        timezone=ZoneInfo("Europe/Lisbon"),
        cycle_s=300.0,
        exercise=exercise,
        public_url="https://water.example.org",
        notice_sender="water@example.org",
    )
    services = replace(services, **changes)
    keys = {}
    for role in ROLES:
        key, keys[role] = make_key(f"the {role}", role, T0)
        registry.save_key(key)
    revoked, keys["revoked"] = make_key("the one who left", "admin", T0)
    registry.save_key(replace(revoked, revoked_at=T0))
    app = create_app(services)
    try:
        with running_app(app) as url:
            yield House(services, clock, app, url, keys)
    finally:
        readings.close()
        registry.close()


@contextmanager
def running_app(app: FastAPI) -> Iterator[str]:
    """Run uvicorn in a thread on a free loopback port and yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        wait_until(lambda: server.started, what="uvicorn")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(15)


# ------------------------------------------------------------------------------------------------- builders


def a_sensor(sensor_id: str = "P1", **changes: Any) -> Sensor:
    sensor = Sensor(
        sensor_id, Quantity.PRESSURE, unit="bar", element_type=ElementType.NODE, element_id="N-JUNCTION-7",
        district="D1", low=0.0, high=100.0,
    )  # fmt: skip
    return replace(sensor, **changes)


def a_reading(sensor_id: str = "P1", at: datetime = T0, value: float = 30.0, **changes: Any) -> Reading:
    late_s = changes.pop("late_s", 2.0)
    reading = Reading(sensor_id, at, at + timedelta(seconds=late_s), value, "m", value / 10.19716, "bar")
    return replace(reading, **changes)


def a_bad_reading(sensor_id: str = "P1", at: datetime = T0, value: float = 300.0) -> Reading:
    return a_reading(sensor_id, at, value, quality=Quality.BAD, reasons=("out_of_range",))


def customers(count: int = 20, node_id: str = "N-JUNCTION-7") -> list[Customer]:
    return [
        Customer(
            customer_id=f"CUSTOMER-{i:03}",
            connection_id=f"CONNECTION-{i:03}",
            node_id=node_id,
            population=2,
            sensitive=Sensitivity.HOSPITAL if i == 0 else Sensitivity.NONE,
            street=f"Rua de Camões {i}",
            phone=f"+351 900 000 {i:03}",
            email=f"person{i}@mail.example",
        )
        for i in range(count)
    ]


def an_incident(incident_id: str = "i-1", count: int = 20, **changes: Any) -> Incident:
    incident = Incident(
        incident_id=incident_id,
        kind=IncidentKind.OUTAGE_PREDICTED,
        cause_key="tank_empty:N-TANK-1",
        cause="Tank N-TANK-1 is empty from 14:00; it holds 0.4 m now",
        severity=Severity.SEVERE,
        confidence=0.7,
        opened_at=T0 - timedelta(minutes=10),
        updated_at=T0 - timedelta(minutes=5),
        starts_at=T0 + timedelta(hours=2),
        expected_end_at=T0 + timedelta(hours=6),
        node_ids=("N-JUNCTION-7",),
        connection_ids=tuple(f"CONNECTION-{i:03}" for i in range(count)),
        sensitive_connection_ids=("CONNECTION-000",) if count else (),
        run_id="supply-1",
    )
    return replace(incident, **changes)


TEXTS = {
    "pt": NoticeText("Corte de água na Rua de Camões", "Das 14:00 às 18:00 não há água.", "Guarde água."),
    "en": NoticeText("Water cut in Rua de Camões", "From 14:00 to 18:00 there is no water.", "Store some water."),
}


def a_notice(notice_id: str = "n-1", to: NoticeState = NoticeState.PUBLISHED, **changes: Any) -> Notice:
    """Return a notice taken through its life up to the state `to`; `count` connections, T0 as the time of all steps."""
    count = changes.pop("count", 20)
    at = changes.pop("at", T0)
    draft = Notice(
        notice_id=notice_id,
        incident_id="i-1",
        kind=IncidentKind.OUTAGE_PREDICTED,
        status=NoticeStatus.ACTUAL,
        severity=Severity.SEVERE,
        state=NoticeState.DRAFT,
        created_at=at,
        updated_at=at,
        texts=TEXTS,
        starts_at=T0 + timedelta(hours=2),
        ends_at=T0 + timedelta(hours=6),
        node_ids=("N-JUNCTION-7",),
        connection_ids=tuple(f"CONNECTION-{i:03}" for i in range(count)),
        streets=("Rua de Camões",),
    )
    notice = replace(draft, **changes)
    path = {
        NoticeState.DRAFT: (),
        NoticeState.CANCELLED: (NoticeState.CANCELLED,),
        NoticeState.APPROVED: (NoticeState.APPROVED,),
        NoticeState.PUBLISHED: (NoticeState.APPROVED, NoticeState.PUBLISHED),
    }.get(to, (NoticeState.APPROVED, NoticeState.PUBLISHED, to))
    for state in path:
        notice = step(notice, state, now=at, by="the night shift")
    return notice


def a_provenance(**changes: Any) -> Provenance:
    provenance = Provenance(
        model_id="city",
        model_hash="9f86d081884c7d65",
        engine="EPANET 2.3.5",
        state_at=T0 - timedelta(minutes=2),
        state_basis=("tank N-TANK-1 level 0.40 m from sensor L1",),
    )
    return replace(provenance, **changes)


def a_supply_run(run_id: str = "supply-1", issued_at: datetime = T0 - timedelta(minutes=2)) -> Run:
    forecast = SupplyForecast(
        run_id,
        issued_at,
        (issued_at, issued_at + timedelta(hours=2)),
        a_provenance(),
        10.0,
        (
            PredictedOutage(
                "N-JUNCTION-7", T0 + timedelta(hours=2), None, ShortageKind.NO_SOURCE, "tank_empty:N-TANK-1",
                "tank empty", 0.0, 0.0,
            ),
        ),
        (TankOutlook("N-TANK-1", 0.4, 0.0, 5.0, T0 + timedelta(hours=2), None, (0.4, 0.0)),),
        (ForecastSeries("node", "N-JUNCTION-7", "pressure", (31.0, 0.0)),),
        110.0,
        92.5,
        measured=("N-TANK-1",),
    )  # fmt: skip
    return Run(run_id, RunKind.SUPPLY, issued_at, RunStatus.OK, 2.4, supply=forecast)


def a_failed_run(run_id: str = "supply-2", issued_at: datetime = T0, kind: RunKind = RunKind.SUPPLY) -> Run:
    return Run(run_id, kind, issued_at, RunStatus.FAILED, 1.0, cause="the engine did not converge")


def a_drainage_run(run_id: str = "drainage-1", issued_at: datetime = T0 - timedelta(minutes=3)) -> Run:
    forecast = DrainageForecast(
        run_id,
        issued_at,
        issued_at,
        issued_at + timedelta(days=1),
        RunStatus.OK,
        a_provenance(engine="SWMM 5.2.4", weather_rung=Rung.LAST_GOOD, weather_source="open_meteo"),
        (NodeFlood("M7", 0.35, T0 + timedelta(hours=2), 0.6, 1.8, 0.0, 41.0),),
        ("0", "1", "2"),
        (FailedMember("3", "step 4 is unknown"),),
        12.0,
        44.5,
    )
    return Run(run_id, RunKind.DRAINAGE, issued_at, RunStatus.OK, 2.4, drainage=forecast)


def a_model_file(kind: NetworkKind = NetworkKind.SUPPLY) -> ModelFile:
    return ModelFile(kind, f"{kind}.inp", "ab" * 32, b"[END]", T0 - timedelta(days=1))


def a_beat(**changes: Any) -> Beat:
    return replace(
        Beat("ingest", T0 - timedelta(seconds=5), True, "connected to the broker", {"received": 12.0}), **changes
    )


def a_letter(payload: bytes = b'{"value": "x"}', topic: str = "h2/g1/P9") -> DeadLetter:
    return DeadLetter(0, T0, topic, payload, "unknown_sensor", "there is no sensor 'P9'")


def furnish(house: House) -> None:
    """Put a little of everything into the house."""
    registry = house.services.registry
    registry.upsert_sensors([a_sensor("P1"), a_sensor("P2"), a_sensor("P3", district="")])
    house.services.readings.append([a_reading("P1", T0 - timedelta(minutes=1)), a_bad_reading("P2", T0)])
    registry.upsert_customers(customers())
    registry.save_incidents([an_incident()])
    registry.save_notice(a_notice())
    registry.save_run(a_supply_run())
    registry.save_run(a_drainage_run())
    for kind in NetworkKind:
        registry.save_model_file(a_model_file(kind))
    registry.beat(a_beat())
    registry.beat(a_beat(role="cycle", detail="", figures={"supply_wall_s": 2.4}))
    registry.bury([a_letter()])
