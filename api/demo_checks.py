"""Did the demo do what it should? Compared with the input files, counted here without any code that the demo uses."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api.bootstrap import Memory
from api.demo_plan import DemoPlan
from models.networks import ctown
from models.networks.ctown import period
from twin.cycle import CycleOutcome
from twin.incidents import IncidentKind
from twin.notices import NoticeStatus

TRIP_CAUSES = frozenset({"tank_empty:T3", "pump_down:PU4", "pump_down:PU5"})
"""What the twin may rightly name as the cause when station S2, which fills tank T3, trips."""
STORM_MM = 20.0
"""Rain in one hour from which the demo town's undersized sewers are expected to flood."""


def check_demo(
    plan: DemoPlan, memory: Memory, turns: Sequence[CycleOutcome], figures: Mapping[str, Any], now: datetime
) -> dict[str, bool]:
    """Return each expectation of the plan and whether it came true; `figures` are those of the summary."""
    expected = count_inputs(plan)
    notices = memory.registry.notices(limit=1000).items
    public = [notice for notice in notices if notice.is_public]
    checks = {
        "every_input_row_was_published": figures["readings_published"] == expected.readings,
        "every_reading_is_stored_or_a_dead_letter": (
            figures["readings_stored"] + figures["dead_letters"] == expected.readings
        ),
        "one_cycle_an_hour": figures["cycles"] == expected.hours,
        "every_sensor_is_trusted_at_the_end": _all_trusted(memory, now),
        "no_run_failed": all(turn.ok for turn in turns),
        "every_notice_is_an_exercise": all(notice.status is NoticeStatus.EXERCISE for notice in notices),
    }
    if plan.event == "pump-trip" and plan.start <= period.TRIP_AT <= plan.end - timedelta(hours=12):
        outages = [i for i in memory.registry.incidents(limit=1000).items if i.cause_key in TRIP_CAUSES]
        told = {notice.incident_id for notice in public}
        checks["the_pump_trip_became_an_outage"] = bool(outages)
        checks["the_outage_was_told"] = any(outage.incident_id in told for outage in outages)
    if expected.wettest_hour_mm >= STORM_MM:
        checks["the_storm_became_a_flood_prediction"] = figures["incidents"].get(IncidentKind.FLOOD_PREDICTED, 0) > 0
        checks["the_flood_was_told"] = any(notice.kind is IncidentKind.FLOOD_PREDICTED for notice in public)
    return checks


def _all_trusted(memory: Memory, now: datetime) -> bool:
    sensors = list(memory.registry.sensors())
    newest = memory.readings.latest(sensors, at=now)
    return all(sensor in newest and newest[sensor].observed_at == now for sensor in sensors)


@dataclass(frozen=True, slots=True)
class InputCounts:
    """What the input files hold for the plan's period, counted without any code that the demo itself uses."""

    readings: int
    hours: int
    wettest_hour_mm: float


def count_inputs(plan: DemoPlan) -> InputCounts:
    """Count the input files' rows in the period: every SCADA column but the time and the label, rain, temperature."""
    first, last = plan.start, plan.end
    readings = hours = 0
    with gzip.open(ctown.SCADA_CSV, "rt", newline="") as file:
        lines = csv.reader(file)
        header = next(lines)
        columns = len(header) - 1 - ("ATT_FLAG" in header)
        for line in lines:
            at = datetime.strptime(line[0], "%d/%m/%y %H").replace(tzinfo=UTC)
            if first <= at < last:
                readings += columns
                hours += 1
    wettest_mm = 0.0
    with gzip.open(ctown.WEATHER_CSV, "rt", newline="") as file:
        for record in csv.DictReader(file):
            if first <= datetime.fromisoformat(record["observed_at"]) < last:
                readings += 2
                wettest_mm = max(wettest_mm, float(record["rain_mm"]))
    return InputCounts(readings, hours, wettest_mm)
