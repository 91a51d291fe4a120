"""The final verdicts on a sensor's readings: judged in order of the moments they were true, whenever they came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from ingest.quality.limits import QualityLimits
from ingest.quality.own_merits import is_usable, reasons_of_itself
from ingest.quality.profile import Profile, profile_of
from ingest.quality.sensor_judge import SensorJudge, Witness
from ingest.quality.verdict import as_sent, flagged
from twin.gaps import LONGEST_PAUSE_INTERVALS
from twin.readings import Reading, Reason, Sensor


class OrderedJudgement:
    """Judges a sensor's readings, given in order of observed time, with those of its witness beside them."""

    def __init__(
        self, profile: Profile, limits: QualityLimits, witness: tuple[Profile, Sequence[Reading]] | None
    ) -> None:
        self._ahead = limits.ahead
        self._profile = profile
        self._witness = Witness(witness_lasting(witness[0].sensor)) if witness is not None else None
        self._said = iter(usable(*witness, limits.ahead)) if witness is not None else iter(())
        self._next = next(self._said, None)
        self._judge = SensorJudge(profile, self._witness)

    @property
    def sensor_judge(self) -> SensorJudge:
        """The judge with all it remembers by now."""
        return self._judge

    def judge(self, readings: Iterable[Reading]) -> list[Reading]:
        """Return the readings with the verdicts on them. The last one may still turn out to be a spike."""
        judged: list[Reading] = []
        place: dict[datetime, int] = {}
        for reading in readings:
            self._hear_witness(reading.observed_at)
            plain = as_sent(reading)
            reasons = reasons_of_itself(plain, self._profile, self._ahead)
            if Reason.EARLY not in reasons:
                if is_usable(plain, reasons):
                    reasons += self._judge.take(reading.observed_at, reading.value)
                    spiked_at = self._judge.spiked_at
                    if spiked_at is not None and spiked_at in place:
                        judged[place[spiked_at]] = flagged(judged[place[spiked_at]], [Reason.SPIKE])
                    place = {reading.observed_at: len(judged)}
                else:
                    reasons += self._judge.take_unusable(reading.observed_at, plain.value)
            judged.append(flagged(plain, reasons) if reasons else plain)
        return judged

    def _hear_witness(self, until: datetime) -> None:
        while self._next is not None and self._witness is not None and self._next.observed_at <= until:
            self._witness.take(self._next.observed_at, self._next.value)
            self._next = next(self._said, None)


def judge_in_order(
    sensor: Sensor,
    readings: Iterable[Reading],
    *,
    limits: QualityLimits | None = None,
    witness: tuple[Sensor, Iterable[Reading]] | None = None,
) -> list[Reading]:
    """Return a sensor's readings in order of observed time with the final verdicts on them.

    `readings` may come in any order, from the first one of the sensor on; whatever was said of them by these checks
    before is forgotten. `witness` is the sensor that `redundant_with` names, with its readings.
    """
    limits = limits or QualityLimits()
    beside = None
    if witness is not None:
        beside = (profile_of(witness[0], limits), sorted(witness[1], key=_moment))
    return OrderedJudgement(profile_of(sensor, limits), limits, beside).judge(sorted(readings, key=_moment))


def witness_lasting(sensor: Sensor) -> timedelta:
    """Return how long a value of the sensor says how things are, to those that are compared with it."""
    return timedelta(seconds=LONGEST_PAUSE_INTERVALS * sensor.expected_every_s)


def usable(profile: Profile, readings: Iterable[Reading], ahead: timedelta) -> Iterator[Reading]:
    """Yield those readings that other checks may take for what the sensor measured."""
    for reading in readings:
        reasons = reasons_of_itself(reading, profile, ahead)
        if Reason.EARLY not in reasons and is_usable(reading, reasons):
            yield reading


def _moment(reading: Reading) -> datetime:
    return reading.observed_at
