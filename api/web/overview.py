"""What the operators' overview shows: what is wrong, worst first, and whether the twin itself can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from api.freshness import Freshness, latest_good
from api.grounds import doubts
from api.readiness import readiness
from api.schemas.health import CheckOut
from api.services import Services
from twin.events import SECURITY, TROUBLE, Event
from twin.forecasts import Run, RunKind
from twin.gaps import GapTotals
from twin.incidents import Incident
from twin.notices import Notice, NoticeState
from twin.ports import Beat
from twin.readings import Quality
from twin.staleness import stale_since
from twin.trust import Trust, overall_trust
from twin.trust_report import last_closed_day

LISTED = 20
EVENTS_SHOWN = timedelta(days=7)
"""Events that began longer ago are in the list of events only."""


@dataclass(frozen=True, slots=True)
class ModelLine:
    """The newest good run of a model, the last attempt, how fresh the good one is, and what makes it doubtful."""

    kind: str
    good: Run | None
    freshness: Freshness | None
    newest: Run | None
    doubts: tuple[str, ...]

    @property
    def rung(self) -> str:
        """The rung of the weather ladder that the good run stands on."""
        forecast = self.good.drainage if self.good else None
        return forecast.provenance.weather_rung or "" if forecast else ""


@dataclass(frozen=True, slots=True)
class SensorLine:
    """A sensor that is silent, or whose newest value is not to be trusted."""

    sensor_id: str
    quantity: str
    district: str
    trouble: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole page."""

    at: datetime
    incidents: tuple[Incident, ...]
    shelved: tuple[Incident, ...]
    models: tuple[ModelLine, ...]
    sensors_total: int
    silent: tuple[SensorLine, ...]
    bad: tuple[SensorLine, ...]
    dead_letters: int
    trust_day: date
    trust: Trust
    gaps: GapTotals
    trouble: tuple[Event, ...]
    security: tuple[Event, ...]
    drafts: tuple[Notice, ...]
    in_force: int
    beats: tuple[Beat, ...]
    parts: tuple[CheckOut, ...]

    @property
    def unwell(self) -> tuple[CheckOut, ...]:
        """The parts of the service that keep it from its work."""
        return tuple(part for part in self.parts if not part.ok)


def overview(services: Services) -> Overview:
    """Look up everything an operator wants to see first."""
    now = services.clock.now()
    registry = services.registry
    incidents = sorted(registry.open_incidents(), key=lambda one: (-one.severity.rank, one.opened_at))
    silent, bad, total = _sensors(services, now)
    counts = registry.count_notices()
    closed = last_closed_day(now)
    return Overview(
        at=now,
        incidents=tuple(one for one in incidents if not one.is_shelved(now)),
        shelved=tuple(one for one in incidents if one.is_shelved(now)),
        models=tuple(_model(kind, services, now) for kind in RunKind),
        sensors_total=total,
        silent=tuple(silent),
        bad=tuple(bad),
        dead_letters=registry.count_dead_letters(),
        trust_day=closed,
        trust=overall_trust(registry.trust_days(closed, closed)),
        gaps=registry.gap_totals(),
        trouble=registry.events(kinds=sorted(TROUBLE), start=now - EVENTS_SHOWN, limit=LISTED).items,
        security=registry.events(kinds=sorted(SECURITY), start=now - EVENTS_SHOWN, limit=LISTED).items,
        drafts=registry.notices(states=[NoticeState.DRAFT, NoticeState.APPROVED], limit=100).items,
        in_force=counts.get(NoticeState.PUBLISHED, 0) + counts.get(NoticeState.UPDATED, 0),
        beats=tuple(registry.beats().values()),
        parts=tuple(readiness(services).checks),
    )


def _model(kind: RunKind, services: Services, now: datetime) -> ModelLine:
    found = latest_good(kind, services)
    newest = services.registry.latest_run(kind, good_only=False, issued_by=now)
    if found is None:
        return ModelLine(kind.value, None, None, newest, ())
    good, freshness = found
    return ModelLine(kind.value, good, freshness, newest, doubts(good, services))


def _sensors(services: Services, now: datetime) -> tuple[list[SensorLine], list[SensorLine], int]:
    sensors = services.registry.sensors()
    newest = services.readings.latest(list(sensors), at=now, trusted_only=False)
    gone = stale_since(services.registry.stale_marks(), newest, now=now)
    silent: list[SensorLine] = []
    bad: list[SensorLine] = []
    for sensor in sensors.values():
        reading = newest.get(sensor.sensor_id)
        age_s = (now - reading.observed_at).total_seconds() if reading else None
        facts = (sensor.sensor_id, sensor.quantity.value, sensor.district)
        if reading is None or sensor.is_silent(reading.observed_at, now=now):
            silent.append(SensorLine(*facts, "never heard" if reading is None else "silent", age_s))
        elif sensor.sensor_id in gone:
            silent.append(SensorLine(*facts, "stale: its sender said that it is gone", age_s))
        elif reading.quality in (Quality.BAD, Quality.SUSPECT):
            bad.append(SensorLine(*facts, f"{reading.quality}: {', '.join(reading.reasons) or 'no reason'}", age_s))
    silent.sort(key=lambda line: (line.age_s is None, line.age_s or 0.0))  # who fell silent last is news
    return silent, bad, len(sensors)
