"""Records for the registry's tests, their fields set to something that is not the default."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from twin.customers import Customer, Sensitivity
from twin.forecasts import (
    DrainageForecast,
    DrainageState,
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
    WeatherEnsemble,
    WeatherMember,
)
from twin.incidents import DrySpell, Incident, IncidentKind, IncidentState, Severity
from twin.network import NetworkKind
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText, Revision
from twin.ports import ApiKey, AuditEntry, Beat, DeadLetter, ModelFile
from twin.readings import ElementType, Kind, Sensor
from twin.units import Quantity
from twin.valves import Valve

T0 = datetime(2026, 3, 29, 0, 59, 59, 123456, tzinfo=UTC)
SOMEWHERE_ELSE = timezone(timedelta(hours=5, minutes=45))


def at(seconds: float) -> datetime:
    """Return the moment `seconds` after T0."""
    return T0 + timedelta(seconds=seconds)


def a_letter(number: int = 0, **changes: object) -> DeadLetter:
    letter = DeadLetter(0, at(number), f"h2/g/{number}", b"\x00\xff" + bytes([number % 256]), "undecodable", "não é")
    return replace(letter, **changes)  # type: ignore[arg-type]


def a_sensor(sensor_id: str = "P-1", **changes: object) -> Sensor:
    sensor = Sensor(
        sensor_id=sensor_id,
        quantity=Quantity.VOLUME,
        kind=Kind.TOTAL_INCREASING,
        unit="L",
        element_type=ElementType.LINK,
        element_id="Condutа 7 'x'; --",
        district="Baixa",
        expected_every_s=0.1,
        low=-0.3,
        high=1e300,
        max_rate_per_s=0.25,
        flat_after_s=7200.0,
        redundant_with="M-2",
        rollover_at=99_999.999,
        one_way=True,
        overflow_m=-0.5,
        gateway_id="G-7",
        connection_id="C-7",
    )
    return replace(sensor, **changes)  # type: ignore[arg-type]


def a_customer(connection_id: str = "C-1", **changes: object) -> Customer:
    customer = Customer(
        customer_id="K-7",
        connection_id=connection_id,
        node_id="J 12",
        population=250,
        sensitive=Sensitivity.DIALYSIS,
        language="en",
        channels=("https://example.org/hook?a=1;2", "mailto:ana@example.org"),
        consent=True,
        quiet_hours="22:00-07:00",
        street="Rua da Água, nº 3 – 2.º \U0001f6b0",
        postcode="3000-001",
        phone="+351 239 000 000",
        email="ana@example.org",
    )
    return replace(customer, **changes)  # type: ignore[arg-type]


def a_valve(valve_id: str = "V-1", **changes: object) -> Valve:
    valve = Valve(valve_id, "P 12 ação", "J\u00f3 7", operable=False, normally_closed=True)
    return replace(valve, **changes)  # type: ignore[arg-type]


def an_incident(number: int = 0, **changes: object) -> Incident:
    incident = Incident(
        incident_id=f"I-{number:05}",
        kind=IncidentKind.FLOOD_PREDICTED,
        cause_key="tank_empty:T7",
        cause='O depósito "T7" fica vazio às 03:00\x00\n',
        severity=Severity.EXTREME,
        confidence=0.1 + 0.2,
        opened_at=at(number),
        updated_at=at(number + 1),
        starts_at=at(number + 2),
        expected_end_at=at(number + 3),
        closed_at=at(number + 4),
        state=IncidentState.CLOSED,
        node_ids=("J1", "J2"),
        connection_ids=("C1", "C2"),
        sensitive_connection_ids=("C2",),
        sensor_ids=("P1",),
        run_id="R-1",
        acknowledged_by="ana",
        acknowledged_at=at(number + 5),
        shelved_by="rui",
        shelved_until=at(number + 6),
        shelved_reason="works",
        dry_spells=(DrySpell("J1", at(number), at(number + 1)), DrySpell("J2", at(number), None)),
    )
    return replace(incident, **changes)  # type: ignore[arg-type]


def a_notice(number: int = 0, **changes: object) -> Notice:
    texts = {"pt": NoticeText("Corte", "Sem água", "Guarde água"), "en": NoticeText("Cut", "No water", "Keep water")}
    notice = Notice(
        notice_id=f"N-{number:05}",
        incident_id="I-1",
        kind=IncidentKind.OUTAGE_OBSERVED,
        status=NoticeStatus.EXERCISE,
        severity=Severity.SEVERE,
        state=NoticeState.UPDATED,
        created_at=at(number),
        updated_at=at(number + 1),
        texts=texts,
        starts_at=at(number + 2),
        ends_at=at(number + 3),
        node_ids=("J1",),
        connection_ids=("C1", "C2"),
        streets=("Rua da Água",),
        approved_by="ana",
        districts=("Baixa",),
        confidence=0.7,
        revisions=(Revision(1, NoticeState.PUBLISHED, at(number + 4), texts, at(number), None, 2),),
    )
    return replace(notice, **changes)  # type: ignore[arg-type]


A_PROVENANCE = Provenance(
    model_id="net3",
    model_hash="ab" * 32,
    engine="EPANET 2.3.5",
    state_at=at(-60),
    state_basis=("tank T1 from L-1", "no reading of T2"),
    weather_source="open-meteo",
    weather_rung=Rung.LAST_GOOD,
    weather_issued_at=at(-3600),
    weather_available_at=at(-3000),
    continuity_error_pct=-0.25,
    inputs_hash="cd" * 32,
    warnings=("warm-up short",),
    synthetic=True,
)


def a_supply_forecast(run_id: str) -> SupplyForecast:
    return SupplyForecast(
        run_id=run_id,
        issued_at=at(0),
        valid_at=(at(0), at(300)),
        provenance=A_PROVENANCE,
        required_pressure_m=15.5,
        outages=(PredictedOutage("J1", at(60), None, ShortageKind.NO_SOURCE, "tank_empty:T7", "T7 empty", -1.5, 0.25),),
        tanks=(TankOutlook("T7", 2.5, 0.1, 5.0, at(900), None, (2.5, 2.0)),),
        series=(ForecastSeries("node", "J1", "pressure", (5e-324, 1.7976931348623157e308)),),
        demand_m3=100.0,
        delivered_m3=99.9,
    )


def a_drainage_forecast(run_id: str) -> DrainageForecast:
    return DrainageForecast(
        run_id=run_id,
        issued_at=at(0),
        valid_from=at(0),
        valid_to=at(7200),
        status=RunStatus.INSUFFICIENT,
        provenance=A_PROVENANCE,
        nodes=(NodeFlood("M1", None, at(600), 0.1, 0.4, 12.0, 30.0), NodeFlood("M2", 0.75, None, 0.0, 0.0, 0.0, 0.0)),
        members_done=("0", "1"),
        members_failed=(FailedMember("2", "timed out"),),
        rain_p50_mm=3.3,
        rain_max_mm=44.4,
    )


def a_run(number: int = 0, **changes: object) -> Run:
    run_id = f"R-{number:05}"
    run = Run(
        run_id=run_id,
        kind=RunKind.SUPPLY,
        issued_at=at(number),
        status=RunStatus.INSUFFICIENT,
        wall_s=1.25,
        cause="members late",
        supply=a_supply_forecast(run_id),
        drainage=a_drainage_forecast(run_id),
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def an_ensemble(**changes: object) -> WeatherEnsemble:
    ensemble = WeatherEnsemble(
        source="open-meteo",
        issued_at=at(0),
        available_at=at(600),
        gage_id="G1",
        valid_from=at(0),
        interval_s=900,
        members=(WeatherMember("0", (0.1, None, 3.0), (11.5, None, -2.0)), WeatherMember("control", (0.0,), ())),
        rung=Rung.DETERMINISTIC,
        synthetic=True,
        attribution="© Someone",
    )
    return replace(ensemble, **changes)  # type: ignore[arg-type]


def a_state(number: int = 0, **changes: object) -> DrainageState:
    state = DrainageState(
        model_id="site",
        key="swmm-5.2:abc",
        valid_at=at(number),
        content=bytes(range(256)) * 4,
        available_at=at(number + 30),
        continuity_error_pct=0.5,
        rain_mm=12.5,
        cold=True,
        flooded_m3={"M2": 0.5, "M1": 7.25},
    )
    return replace(state, **changes)  # type: ignore[arg-type]


def a_model_file(content: bytes = b"[TITLE]\r\n", **changes: object) -> ModelFile:
    file = ModelFile(NetworkKind.DRAINAGE, "site.inp", content.hex(), content, at(0))
    return replace(file, **changes)  # type: ignore[arg-type]


def a_key(number: int = 0, **changes: object) -> ApiKey:
    key = ApiKey(f"K-{number}", "Ana's laptop", "operator", "scrypt$…", at(number), at(number + 1))
    return replace(key, **changes)  # type: ignore[arg-type]


def an_entry(number: int = 0, **changes: object) -> AuditEntry:
    entry = AuditEntry(at(number), "ana", "approve", f"notice N-{number}", "by rule 4")
    return replace(entry, **changes)  # type: ignore[arg-type]


def a_beat(role: str = "cycle", seconds: float = 0.0, **changes: object) -> Beat:
    beat = Beat(role, at(seconds), True, "well", {"age_s": 1.5, "queue": 3.0})
    return replace(beat, **changes)  # type: ignore[arg-type]
