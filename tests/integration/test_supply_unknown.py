"""From measured states over EPANET to incidents: what nobody measures any more is neither found nor taken for over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
from supply_networks import MONDAY, ONE_TANK, a_request, a_sensor

from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.model import EpanetSupply
from twin.cycle import SUPPLY_KINDS
from twin.detection import Detector
from twin.findings import findings_from_supply
from twin.incidents import Incident, IncidentKind, IncidentState
from twin.ports import SupplyRequest
from twin.readings import Sensor
from twin.units import Quantity

LEVEL = a_sensor("LT", Quantity.LEVEL, "T")
PUMP = a_sensor("SP", Quantity.STATUS, "PU")
PIPE = a_sensor("S3", Quantity.STATUS, "P3")
OBSERVED, PREDICTED, TANK_LOW = IncidentKind.OUTAGE_OBSERVED, IncidentKind.OUTAGE_PREDICTED, IncidentKind.TANK_LOW


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as pool:
        yield pool


class Turns:
    """Runs model and judgement every five minutes, and keeps the incidents. None is a sensor that says nothing."""

    def __init__(self, supply: EpanetSupply) -> None:
        self._supply = supply
        self._detector = Detector()
        self._incidents: dict[str, Incident] = {}
        self._at = MONDAY

    def turn(self, values: Mapping[Sensor, float | None], *, times: int = 1) -> None:
        for _ in range(times):
            self._at += timedelta(minutes=5)
            forecast = self._supply.run(self._request(values))
            findings = findings_from_supply(forecast, now=self._at)
            changed = self._detector.judge(findings, list(self.open().values()), SUPPLY_KINDS, [], now=self._at)
            self._incidents |= {incident.incident_id: incident for incident in changed}

    def open(self) -> dict[tuple[IncidentKind, str], Incident]:
        return {(i.kind, i.cause_key): i for i in self._incidents.values() if i.state is IncidentState.OPEN}

    def _request(self, values: Mapping[Sensor, float | None]) -> SupplyRequest:
        heard = a_request({sensor: value for sensor, value in values.items() if value is not None}, at=self._at)
        sensors = {sensor.sensor_id: sensor for sensor in values}
        return SupplyRequest(heard.run_id, self._at, sensors, heard.latest, heard.history, heard.horizon_s)


@pytest.fixture
def turns(pool: EnginePool) -> Turns:
    return Turns(EpanetSupply(ONE_TANK.encode(), pool, model_id="one tank"))


@pytest.mark.parametrize(
    ("silent", "named"),
    [
        pytest.param({LEVEL: None, PUMP: 0.0}, "PU, T", id="the tank's: the model file has it at 3 m"),
        pytest.param({LEVEL: None, PUMP: None}, "PU, T", id="both"),
    ],
)
def test_silence_does_not_end_an_observed_outage(turns: Turns, silent: dict[Sensor, float | None], named: str) -> None:
    turns.turn({LEVEL: 1.0, PUMP: 0.0})
    begun = turns.open()[OBSERVED, "tank_empty:T"]
    low = turns.open()[TANK_LOW, "tank_low:T"]
    turns.turn(silent, times=5)
    held = turns.open()[OBSERVED, "tank_empty:T"]
    assert (held.node_ids, held.incident_id) == (("J", "K"), begun.incident_id)
    assert held.cause.endswith(f"; held open, there is no fresh measurement of {named}")
    assert all(spell.ends_at is None for spell in held.dry_spells)
    assert turns.open()[TANK_LOW, "tank_low:T"].incident_id == low.incident_id
    assert (PREDICTED, "tank_empty:T") not in turns.open()  # what is already said to be is not foretold as well
    turns.turn({LEVEL: 2.5, PUMP: 1.0}, times=2)
    assert turns.open() == {}


def test_silence_does_not_end_a_closed_pipe(turns: Turns) -> None:
    turns.turn({LEVEL: 3.0, PIPE: 0.0})
    turns.turn({LEVEL: 3.0, PIPE: None}, times=5)
    assert set(turns.open()) == {(OBSERVED, "closed:P3")}
    turns.turn({LEVEL: 3.0, PIPE: 1.0}, times=2)
    assert turns.open() == {}


def test_the_level_in_the_model_file_is_no_low_tank_and_no_observed_outage(pool: EnginePool) -> None:
    empty_in_file = ONE_TANK.replace("T 60 3 1 5", "T 60 1 1 5")
    turns = Turns(EpanetSupply(empty_in_file.encode(), pool, model_id="empty in the file"))
    turns.turn({LEVEL: None, PUMP: 0.0}, times=3)
    assert {kind for kind, _ in turns.open()} <= {PREDICTED}
    assert all(incident.confidence < 0.5 for incident in turns.open().values())


def test_a_tripped_station_whose_sensors_fall_silent_brings_no_water_back(pool: EnginePool) -> None:
    turns = Turns(EpanetSupply(SUPPLY_INP.read_bytes(), pool, model_id="C-Town"))
    tanks = {"T1": 3.0, "T2": 3.0, "T4": 3.0, "T5": 3.0, "T6": 3.0, "T7": 3.5}
    levels = {a_sensor(f"L_{tank}", Quantity.LEVEL, tank): level for tank, level in tanks.items()}
    flows = {a_sensor(f"F_{pump}", Quantity.FLOW, pump): 0.03 for pump in ("PU1", "PU6", "PU8", "PU10", "V2")}
    others: dict[Sensor, float | None] = {**levels, **flows, a_sensor("L_T3", Quantity.LEVEL, "T3"): 0.0}
    pumps = [a_sensor(f"{kind}_{pump}", kind_of, pump) for pump in ("PU4", "PU5") for kind, kind_of in _TELLTALES]
    turns.turn({**others, **dict.fromkeys(pumps, 0.0)})
    begun = turns.open()[OBSERVED, "tank_empty:T3"]
    assert begun.node_ids
    turns.turn({**others, **dict.fromkeys(pumps)}, times=4)
    held = turns.open()[OBSERVED, "tank_empty:T3"]
    assert held.node_ids == begun.node_ids
    assert held.cause.endswith("no fresh measurement of PU4, PU5")


_TELLTALES = (("S", Quantity.STATUS), ("F", Quantity.FLOW))
