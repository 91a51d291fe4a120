"""When residuals are off: what is different between the network and its model, asked of the model itself.

Every cycle its residuals are kept and set against what is usual. Only while some lie off is the model asked, at most
once an hour and less often while it has no answer (it costs seconds), with the readings of the last hours and of the
days before. An incident opens when two searches in a row name the same status; a leak, or what cannot be told, is told
in the state's answer only. It closes when no residual is off any more: what is usual stays what was usual before it
began, however long it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from twin.findings import PREDICTED_CONFIDENCE, Finding
from twin.forecasts import SupplyForecast
from twin.incidents import Incident, IncidentKind, Severity
from twin.mismatch import Mismatch, Verdict
from twin.ports import FindsMismatch, MismatchQuestion, ReadingStore, ResidualLog, SupplyModel
from twin.readings import Reading, Sensor
from twin.residuals import RECENT, USUAL, ResidualWatch, residuals_of
from twin.units import Quantity

KEPT = timedelta(days=60)
"""Residuals of older readings are forgotten."""

ASKED_EVERY = timedelta(hours=1)
ASKED_AT_LEAST_EVERY = timedelta(hours=6)
"""After `PATIENT_FOR` searches without an answer the model is asked more and more seldom."""

PATIENT_FOR = 6

SEARCHED_H = 4
"""So many hourly moments are searched: what lies before the change would dilute them."""

_TELL = frozenset({Quantity.PRESSURE, Quantity.FLOW, Quantity.LEVEL, Quantity.STATUS})
_LONGEST_WAIT = timedelta(hours=1)
_BALANCED_OVER = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Suspected:
    """What one cycle made of its residuals. `judged` says whether incidents about statuses may be closed."""

    mismatch: Mismatch | None = None
    findings: tuple[Finding, ...] = ()
    judged: bool = False


@dataclass(frozen=True, slots=True)
class _Search:
    """What a search found, when it was made."""

    at: datetime
    found: Mismatch


class Suspicion:
    """Follows residuals from cycle to cycle. One instance per running cycle; not for threads."""

    def __init__(self, readings: ReadingStore, log: ResidualLog) -> None:
        self._readings, self._log = readings, log
        self._watch = ResidualWatch()
        self._searches: list[_Search] = []
        self._off_since: datetime | None = None
        self._unanswered = 0
        self._model_hash = ""

    def follow(
        self,
        forecast: SupplyForecast,
        model: SupplyModel,
        sensors: Mapping[str, Sensor],
        latest: Mapping[str, Reading],
        incidents: Sequence[Incident],
    ) -> Suspected:
        """Keep a cycle's residuals and return what they say.

        Raises:
            UnavailableError: If a store is away.
            ModelError: If the search gave no answer.
        """
        now = forecast.issued_at
        opened = [incident for incident in incidents if incident.kind is IncidentKind.STATUS_MISMATCH]
        before = min((i.starts_at for i in opened if i.starts_at is not None), default=None)
        self._note(forecast, sensors, latest, before)
        off = self._watch.off(sensors, now=now, usual_to=before or self._off_since)
        if off is None:
            return Suspected()
        if not off:
            self._searches, self._off_since, self._unanswered = [], None, 0
            return Suspected(judged=True)
        self._off_since = self._off_since or before or now - RECENT
        if not isinstance(model, FindsMismatch):
            return Suspected()
        found = self._search(model, now, sensors)
        return Suspected(found, self._findings(off, forecast, opened))

    def _note(
        self,
        forecast: SupplyForecast,
        sensors: Mapping[str, Sensor],
        latest: Mapping[str, Reading],
        before: datetime | None,
    ) -> None:
        now, of_model = forecast.issued_at, forecast.provenance.model_hash
        if of_model != self._model_hash:
            is_new = self._model_hash != ""  # another model has other residuals: learn anew
            self._watch, self._searches, self._off_since = ResidualWatch(), [], None
            self._model_hash = of_model
            if not is_new:
                self._watch.note(self._log.residuals_since((before or now) - USUAL, known_at=now))
        residuals = residuals_of(forecast, sensors, latest)
        self._log.save_residuals(residuals)
        self._log.drop_residuals(now - KEPT)
        self._watch.note(residuals)
        self._watch.forget((before or self._off_since or now) - USUAL)

    def _search(self, model: FindsMismatch, now: datetime, sensors: Mapping[str, Sensor]) -> Mismatch:
        last = self._searches[-1] if self._searches else None
        if last is not None and now - last.at < self._interval():
            return last.found
        assert self._off_since is not None
        telling = {one.sensor_id: one for one in sensors.values() if one.quantity in _TELL}
        waited = max((timedelta(seconds=one.expected_every_s) for one in telling.values()), default=timedelta(0))
        usual_from = self._off_since - USUAL
        since = usual_from - _BALANCED_OVER
        question = MismatchQuestion(
            at=now - min(waited, _LONGEST_WAIT),
            hours=SEARCHED_H,
            usual_from=usual_from,
            usual_to=self._off_since,
            sensors=telling,
            history={one: self._trusted(one, since, now) for one in telling},
        )
        found = model.mismatch(question)
        self._searches = [*self._searches[-1:], _Search(now, found)]
        self._unanswered = 0 if found.named is not None else self._unanswered + 1
        return found

    def _interval(self) -> timedelta:
        """Return how long to wait between two searches."""
        doublings = min(max(self._unanswered - PATIENT_FOR, 0), 8)
        hours = 1 << doublings
        return min(ASKED_EVERY * hours, ASKED_AT_LEAST_EVERY)

    def _trusted(self, sensor_id: str, since: datetime, now: datetime) -> list[Reading]:
        readings = self._readings.between(sensor_id, since, now + timedelta(microseconds=1), known_at=now)
        return [reading for reading in readings if reading.is_trusted]

    def _findings(
        self, off: Mapping[str, float], forecast: SupplyForecast, opened: Sequence[Incident]
    ) -> tuple[Finding, ...]:
        """Return the status that two searches in a row have named, under the key of its incident if it has one."""
        if len(self._searches) < 2:
            return ()
        first, second = (_links(search.found) for search in self._searches)
        agreed = [link for link in second if link in first]
        if not agreed:
            return ()
        keys = {incident.cause_key for incident in opened}
        known = [f"status:{link}" for link in second if f"status:{link}" in keys]
        return (
            Finding(
                kind=IncidentKind.STATUS_MISMATCH,
                cause_key=known[0] if known else f"status:{agreed[0]}",
                cause=self._searches[-1].found.words,
                severity=Severity.MODERATE,
                confidence=PREDICTED_CONFIDENCE,
                starts_at=self._off_since,
                sensor_ids=tuple(off),
                run_id=forecast.run_id,
            ),
        )


def _links(found: Mismatch) -> tuple[str, ...]:
    """Return the links that a search names, none if it names no status."""
    if found.verdict is not Verdict.STATUS or found.named is None:
        return ()
    return (found.named.element_id, *found.same_as)
