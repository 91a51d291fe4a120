"""Figures for Prometheus, read from the ports at each scrape; a part that is away does not keep the rest back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.freshness import latest_good
from api.ingesters import ingesters
from api.readiness import fullness_in
from api.services import Services
from twin.errors import TwinError
from twin.forecasts import RunKind

Part = Callable[[], list[GaugeMetricFamily]]


class TwinCollector(Collector):
    """Collects h2twin's own figures."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing: registering must not ask the stores."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every figure that can be had now, and which parts could be asked."""
        up = GaugeMetricFamily("h2twin_up", "1 where the part answered this scrape", labels=["part"])
        parts: dict[str, Part] = {
            "readings": self._readings,
            "registry": self._counts,
            "gaps": self._gaps,
            "forecasts": self._forecasts,
            "roles": self._beats,
        }
        for name, part in parts.items():
            try:
                yield from part()
                up.add_metric([name], 1)
            except TwinError:
                up.add_metric([name], 0)
        yield up

    def _readings(self) -> list[GaugeMetricFamily]:
        stats = self._services.readings.stats()
        return [
            GaugeMetricFamily("h2twin_readings", "Readings kept", value=stats.readings),
            GaugeMetricFamily("h2twin_readings_pending", "Readings in the spool only", value=stats.pending),
            GaugeMetricFamily("h2twin_readings_quarantined", "Readings the server refused", value=stats.quarantined),
        ]

    def _counts(self) -> list[GaugeMetricFamily]:
        registry = self._services.registry
        open_now = Counter((one.kind.value, one.severity.value) for one in registry.open_incidents())
        incidents = GaugeMetricFamily("h2twin_incidents_open", "Open incidents", labels=["kind", "severity"])
        for labels, count in open_now.items():
            incidents.add_metric(labels, count)
        return [
            GaugeMetricFamily("h2twin_dead_letters", "Distinct dead letters", value=registry.count_dead_letters()),
            incidents,
            _by("h2twin_incidents", "Incidents ever opened", "kind", registry.count_incidents()),
            _by("h2twin_notices", "Notices", "state", registry.count_notices()),
            _by("h2twin_forecasts", "Good forecasts", "kind", registry.count_runs()),
        ]

    def _gaps(self) -> list[GaugeMetricFamily]:
        registry = self._services.registry
        totals = registry.gap_totals()
        age_s = (self._services.clock.now() - totals.since).total_seconds() if totals.since else 0.0
        return [
            _by("h2twin_gaps", "Gaps in the readings", "state", registry.count_gaps()),
            GaugeMetricFamily("h2twin_readings_missing", "Readings that the waiting gaps lack", value=totals.missing),
            GaugeMetricFamily("h2twin_gap_age_seconds", "Age of the oldest waiting gap", value=age_s),
            _by("h2twin_events", "Events around the readings", "kind", registry.count_events()),
        ]

    def _forecasts(self) -> list[GaugeMetricFamily]:
        age = GaugeMetricFamily("h2twin_forecast_age_seconds", "Age of the newest good forecast", labels=["kind"])
        stale = GaugeMetricFamily("h2twin_forecast_stale", "1 where the newest good forecast is stale", labels=["kind"])
        for kind in RunKind:
            found = latest_good(kind, self._services)
            if found:
                age.add_metric([kind.value], found[1].age_s)
                stale.add_metric([kind.value], float(found[1].stale))
        return [age, stale]

    def _beats(self) -> list[GaugeMetricFamily]:
        now: datetime = self._services.clock.now()
        age = GaugeMetricFamily("h2twin_beat_age_seconds", "Age of a role's last sign of life", labels=["role"])
        ok = GaugeMetricFamily("h2twin_beat_ok", "1 where the role says it is well", labels=["role"])
        figures = GaugeMetricFamily("h2twin_beat_figure", "What a role counts of itself", labels=["role", "figure"])
        room = GaugeMetricFamily("h2twin_store_full_ratio", "Used share of each limit of the store", labels=["limit"])
        beats = self._services.registry.beats()
        for limit, share in fullness_in(ingesters(beats, now=now)).items():
            room.add_metric([limit], share)
        for beat in beats.values():
            age.add_metric([beat.role], (now - beat.at).total_seconds())
            ok.add_metric([beat.role], float(beat.ok))
            for name, value in (beat.figures or {}).items():
                figures.add_metric([beat.role, name], value)
        return [age, ok, figures, room]


def _by(name: str, text: str, label: str, counts: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, count in counts.items():
        family.add_metric([str(key)], count)
    return family


def scrape(services: Services) -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(TwinCollector(services))
    return generate_latest(registry)
