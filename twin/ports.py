"""What the outside must fulfil, as protocols: use cases call them, adapters implement them, `api.bootstrap` joins both.

Every port raises only errors of `twin.errors`: `UnavailableError` when the thing behind it is away,
`StorageFullError` when it is full, `NotFoundError` for unknown ids. One contract suite per port (tests/contract) runs
on every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, Protocol, TypeVar, runtime_checkable

from twin.customers import Customer
from twin.events import Event, EventKind
from twin.forecasts import DrainageForecast, DrainageState, Run, RunKind, SupplyForecast, WeatherEnsemble
from twin.gaps import Gap, GapState, GapTotals
from twin.incidents import Incident, IncidentKind, IncidentState
from twin.mismatch import Mismatch
from twin.network import Network, NetworkKind
from twin.notices import Notice, NoticeState, NoticeText
from twin.readings import Reading, Sensor
from twin.residuals import Residual
from twin.rollups import Every, Rollup
from twin.scenario_jobs import JobState, ScenarioJob
from twin.trust import TrustDay
from twin.valves import Valve
from twin.windows import Window

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list and the cursor of the next (None: this was the last)."""

    items: tuple[T, ...]
    next_cursor: str | None = None


# --------------------------------------------------------------------------------------------------- readings


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of a batch: newly stored, exact repeats absorbed, and readings whose key holds another value."""

    stored: int
    duplicates: int
    conflicts: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How full a reading store is. `pending` readings are durable but not yet in the server behind a spool."""

    readings: int
    pending: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class RefusedReading:
    """A reading that the server behind a store would not take: the line as sent and the server's reason."""

    reading: Reading
    line: str
    reason: str


class ReadingStore(Protocol):
    """Keeps readings for ever, one per (sensor, observed_at)."""

    def requalify(self, readings: Sequence[Reading]) -> int:
        """Give stored readings the value, quality and reasons of `readings` with the same key, durably.

        What arrived (raw value, raw unit, times, seq) stays as it was. Keys that are not stored are passed over;
        return how many changed.
        """
        ...

    def append(self, readings: Sequence[Reading]) -> AppendResult:
        """Store a batch durably: when this returns, a crash loses none of it.

        Same key and same raw value and unit: a duplicate, absorbed. Same key, another value: a conflict, the first
        wins (also within the batch).
        """
        ...

    def between(
        self,
        sensor_id: str,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        limit: int | None = None,
    ) -> list[Reading]:
        """Return readings with start <= observed_at < end in order of time, all qualities.

        With `known_at`, only what had become available by then (available_at <= known_at).
        """
        ...

    def latest(
        self,
        sensor_ids: Sequence[str],
        *,
        at: datetime,
        known_at: datetime | None = None,
        trusted_only: bool = True,
    ) -> dict[str, Reading]:
        """Return each sensor's newest reading with observed_at <= at; sensors without one are left out."""
        ...

    def rollups(
        self, sensor_ids: Sequence[str], start: datetime, end: datetime, every: Every
    ) -> dict[str, list[Rollup]]:
        """Return the windows with start <= beginning < end in order of time, an entry for every sensor asked for.

        What was appended or judged anew before is in them.
        """
        ...

    def stats(self) -> StoreStats:
        """Return how many readings are kept."""
        ...

    def check(self) -> None:
        """Return if the store answers and can be written; raise UnavailableError or StorageFullError if not."""
        ...

    def close(self) -> None:
        """Release files and connections; what was appended stays durable."""
        ...


@dataclass(frozen=True, slots=True)
class Fullness:
    """How much of one limit of a store is used up: `of` is waiting (readings), file or disk (bytes)."""

    of: str
    used: float
    most: float

    @property
    def share(self) -> float:
        """The share that is used, 1 where the limit is reached."""
        return self.used / self.most if self.most > 0 else 1.0


@runtime_checkable
class Limited(Protocol):
    """What a reading store with limits also does: it says how near they are. It never drops when it meets one."""

    def fullness(self) -> list[Fullness]:
        """Return how much of each limit is used up; raise UnavailableError if that cannot be known."""
        ...


@runtime_checkable
class Quarantine(Protocol):
    """What a reading store with a server behind it also does: it keeps what the server refuses."""

    def quarantined(self, limit: int = 1000) -> list[RefusedReading]:
        """Return up to `limit` readings that the server refused; does not ask the server."""
        ...

    def release_quarantined(self) -> int:
        """Let every one of them be sent again, after the cause was mended; return how many."""
        ...


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file of a sealed day: its name, how many readings it holds, their digest (SHA-256), and its size in bytes."""

    name: str
    readings: int
    digest: str
    size: int


@runtime_checkable
class KnowsRepeats(Protocol):
    """What a reading store also does that can tell cheaply what it has already."""

    def repeats(self, readings: Sequence[Reading]) -> list[bool]:
        """Say of each reading whether it is stored already with the same raw value and unit."""
        ...


@runtime_checkable
class Upkeep(Protocol):
    """What a reading store that keeps itself also does: sum up, seal in files, and let go of what is old."""

    def roll_up(self, until: datetime, *, stop: Callable[[], bool] = ...) -> int:
        """Sum up every whole day before `until`, and again every day that changed; return how many steps it took."""
        ...

    def seal(
        self, before: datetime, *, now: datetime, told: Callable[[int, int], None] | None = None
    ) -> list[SealedFile]:
        """Seal every whole day before a moment; return the new files. `told` hears (days done, days in all)."""
        ...

    def sealed_files(self) -> dict[datetime, SealedFile]:
        """Return the file of every sealed day by the beginning of the day, oldest first."""
        ...

    def verify_sealed(self) -> int:
        """Compare every sealed file with its digest; return how many there are, or raise UnavailableError."""
        ...

    def drop_readings(self, before: datetime, *, now: datetime) -> int:
        """Delete readings of whole days before a moment, after they were summed up; return how many."""
        ...

    def drop_rollups(self, every: Every, before: datetime) -> int:
        """Delete the kept windows of one length in whole days before a moment; return how many."""
        ...


# --------------------------------------------------------------------------------------------------- registry


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not become a reading, kept byte for byte with the reason."""

    letter_id: int
    received_at: datetime
    topic: str
    payload: bytes
    reason: str
    detail: str
    times_seen: int = 1


class DeadLetters(Protocol):
    """The dead-letter table: unique per (topic, payload), counted when seen again."""

    def bury(self, letters: Sequence[DeadLetter]) -> int:
        """Keep letters durably (letter_id and times_seen of the arguments are ignored); return how many were new."""
        ...

    def buried_as(self, topic: str, payload: bytes) -> str | None:
        """Return the reason of a message that is a dead letter already, else None."""
        ...

    def dead_letters(self, *, limit: int = 100, cursor: str | None = None) -> Page[DeadLetter]:
        """List letters, newest first."""
        ...

    def dead_letter(self, letter_id: int) -> DeadLetter:
        """Return one letter or raise NotFoundError."""
        ...

    def count_dead_letters(self) -> int:
        """Return the number of distinct letters."""
        ...

    def exhume(self, letter_id: int, *, times_seen: int | None = None) -> None:
        """Forget a letter after it was published again; raise NotFoundError if it is unknown.

        With `times_seen`, only if it was seen just that often; else raise ConflictError and keep it: it came back.
        """
        ...


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which thing, when."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as kept: never the secret, only its salted hash."""

    key_id: str
    name: str
    role: str
    secret_hash: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's input file as imported."""

    kind: NetworkKind
    name: str
    sha256: str
    content: bytes
    imported_at: datetime


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life of one role: when, whether it is well, and facts for `/readyz` and `/metrics`."""

    role: str
    at: datetime
    ok: bool
    detail: str = ""
    figures: Mapping[str, float] | None = None


class SensorRegistry(Protocol):
    """The sensors that are known here."""

    def upsert_sensors(self, sensors: Sequence[Sensor]) -> None:
        """Add or replace sensors, all or none."""
        ...

    def sensors(self) -> dict[str, Sensor]:
        """Return all sensors by id, in order of id."""
        ...


class EventLog(Protocol):
    """What happened around the readings."""

    def log_events(self, events: Sequence[Event]) -> int:
        """Keep events durably, prolonging the episode each belongs to (`twin.events.EPISODE`); return how many began.

        Of an episode the first detail stays.
        """
        ...

    def events(
        self,
        *,
        kinds: Sequence[EventKind] | None = None,
        subject: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Event]:
        """List events by first_at (start inclusive, end exclusive), newest first."""
        ...

    def count_events(self) -> dict[str, int]:
        """Return the number of events by kind."""
        ...


class GapLedger(Protocol):
    """The missing intervals of every sensor."""

    def save_gaps(self, gaps: Sequence[Gap]) -> None:
        """Add or replace gaps by key, all or none."""
        ...

    def open_gaps(self) -> list[Gap]:
        """Return every gap that is open or requested, by sensor and in order of time."""
        ...

    def gaps(
        self,
        *,
        sensor_id: str | None = None,
        gateway_id: str | None = None,
        states: Sequence[GapState] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Gap]:
        """List gaps by their start (start inclusive, end exclusive), newest first."""
        ...

    def count_gaps(self) -> dict[str, int]:
        """Return the number of gaps by state."""
        ...

    def gap_totals(self) -> GapTotals:
        """Return how many gaps are open or requested, how many readings they lack and since when."""
        ...


class WindowLog(Protocol):
    """Windows that wait to be looked at again."""

    def reopen(self, windows: Sequence[Window]) -> None:
        """Keep windows durably until they are settled."""
        ...

    def reopened(self, limit: int = 1000) -> list[Window]:
        """Return up to `limit` windows that wait, oldest first, as they were kept (they may overlap)."""
        ...

    def settle(self, windows: Sequence[Window]) -> None:
        """Forget windows (by `window_id`) that have been looked at."""
        ...


class TrustLog(Protocol):
    """The trust of sensors on closed days; settling windows forgets the days that they touch."""

    def save_trust(self, days: Sequence[TrustDay]) -> None:
        """Add or replace days by sensor and day, all or none."""
        ...

    def trust_days(self, first: date, last: date, *, sensor_id: str | None = None) -> list[TrustDay]:
        """Return the days kept from `first` to `last` (inclusive), by day and sensor."""
        ...


class ResidualLog(Protocol):
    """What sensors read beside the state of the supply model, as series."""

    def save_residuals(self, residuals: Sequence[Residual]) -> None:
        """Keep residuals, all or none; of the same sensor and reading the last counts."""
        ...

    def residuals(
        self,
        *,
        sensor_id: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        known_at: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Residual]:
        """List residuals by observed_at (start inclusive, end exclusive), newest first."""
        ...

    def residuals_since(self, start: datetime, *, known_at: datetime) -> list[Residual]:
        """Return all residuals of readings from `start` on that were known by then, by observed_at and sensor."""
        ...

    def drop_residuals(self, before: datetime) -> int:
        """Forget residuals of readings before a moment; return how many."""
        ...


class StaleMarks(Protocol):
    """Sensors whose sender said that it is gone: their last value says nothing of now."""

    def mark_stale(self, marks: Mapping[str, datetime]) -> None:
        """Note since when sensors are stale. A reading that became available later ends it by itself."""
        ...

    def stale_marks(self) -> dict[str, datetime]:
        """Return since when each sensor was last said to be stale."""
        ...


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far the import of one file of readings has come: its first `rows_done` rows are durable.

    `digest` is the SHA-256 of the file's content. What rows without `available_at` became available at is `begun_at`.
    """

    digest: str
    name: str
    rows_done: int
    begun_at: datetime
    updated_at: datetime
    counts: Mapping[str, int]


class ImportLog(Protocol):
    """Imports that have begun and not ended."""

    def import_progress(self, digest: str) -> ImportProgress | None:
        """Return how far the import of a file has come, or None if none has begun (or it has ended)."""
        ...

    def save_import(self, progress: ImportProgress) -> None:
        """Keep how far an import has come."""
        ...

    def forget_import(self, digest: str) -> None:
        """Forget an import: it has ended, or is to begin anew."""
        ...


class CustomerRegistry(Protocol):
    """The customers and their connections."""

    def upsert_customers(self, customers: Sequence[Customer]) -> None:
        """Add or replace customers by connection_id, all or none."""
        ...

    def customers(self) -> list[Customer]:
        """Return all customers in order of connection_id."""
        ...


class ValveRegistry(Protocol):
    """The isolation valves of the supply network."""

    def upsert_valves(self, valves: Sequence[Valve]) -> None:
        """Add or replace valves by valve_id, all or none."""
        ...

    def valves(self) -> list[Valve]:
        """Return all valves in order of valve_id."""
        ...


class IncidentLog(Protocol):
    """Incidents, open and closed."""

    def save_incidents(self, incidents: Sequence[Incident]) -> None:
        """Add or replace incidents by id, all or none."""
        ...

    def save_judgement(self, incidents: Sequence[Incident]) -> list[Incident]:
        """Add or replace incidents as the cycle judged them, all or none, and return them as they are kept.

        Marks made since they were read are kept, and what was closed stays closed (`twin.incidents.judged_anew`).
        """
        ...

    def change_incident(self, incident_id: str, change: Callable[[Incident], Incident]) -> Incident:
        """Read, change and keep one incident; nobody else writes it meanwhile. Return it as it is kept.

        Raises NotFoundError, and what `change` raises: then nothing is changed. `change` asks no registry.
        """
        ...

    def incident(self, incident_id: str) -> Incident:
        """Return one incident or raise NotFoundError."""
        ...

    def open_incidents(self) -> list[Incident]:
        """Return every incident that is not closed, oldest first."""
        ...

    def incidents(
        self,
        *,
        kind: IncidentKind | None = None,
        state: IncidentState | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Incident]:
        """List incidents by opened_at (start inclusive, end exclusive), newest first."""
        ...

    def count_incidents(self) -> dict[str, int]:
        """Return the number of incidents ever opened, by kind."""
        ...


class NoticeLog(Protocol):
    """Notices in every state."""

    def save_notice(self, notice: Notice) -> None:
        """Add or replace one notice."""
        ...

    def notice(self, notice_id: str) -> Notice:
        """Return one notice or raise NotFoundError."""
        ...

    def notices_of(self, incident_id: str) -> list[Notice]:
        """Return the notices of an incident, oldest first."""
        ...

    def notices(
        self, *, states: Sequence[NoticeState] | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Notice]:
        """List notices by created_at, newest first."""
        ...

    def count_notices(self) -> dict[str, int]:
        """Return the number of notices by state."""
        ...


class ForecastArchive(Protocol):
    """Every run as issued, failed ones included."""

    def save_run(self, run: Run) -> None:
        """Keep a run; its id is new."""
        ...

    def latest_run(self, kind: RunKind, *, good_only: bool, issued_by: datetime | None = None) -> Run | None:
        """Return the newest run of a kind (issued_at <= issued_by), or None. Good is any status but failed."""
        ...

    def runs(
        self,
        kind: RunKind,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Run]:
        """List runs by issued_at, newest first."""
        ...

    def run(self, run_id: str) -> Run:
        """Return one run or raise NotFoundError."""
        ...

    def count_runs(self) -> dict[str, int]:
        """Return the number of good forecasts by kind."""
        ...


class WeatherArchive(Protocol):
    """Every weather forecast that was ever got hold of."""

    def save_weather(self, ensemble: WeatherEnsemble) -> None:
        """Keep a weather forecast; saving the same (source, gage, issued_at, available_at) again changes nothing."""
        ...

    def latest_weather(self, *, known_at: datetime, gage_id: str | None = None) -> WeatherEnsemble | None:
        """Return the newest forecast that was available by `known_at`, or None."""
        ...


class StateArchive(Protocol):
    """Saved engine states."""

    def save_state(self, state: DrainageState) -> None:
        """Keep a state; older ones beyond the newest few of its model may be dropped."""
        ...

    def latest_state(self, model_id: str, key: str, *, by: datetime) -> DrainageState | None:
        """Return the newest state of exactly this key with valid_at <= by, or None."""
        ...


class ModelFiles(Protocol):
    """The model files in use, one per kind; older ones are kept by hash."""

    def save_model_file(self, file: ModelFile) -> None:
        """Make `file` the one in use for its kind."""
        ...

    def model_file(self, kind: NetworkKind) -> ModelFile | None:
        """Return the file in use, or None if none was imported."""
        ...


class KeyStore(Protocol):
    """API keys."""

    def save_key(self, key: ApiKey) -> None:
        """Add or replace a key by id."""
        ...

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key or None."""
        ...

    def keys(self) -> list[ApiKey]:
        """Return all keys in order of creation."""
        ...


class AuditLog(Protocol):
    """What was done by whom; only ever added to."""

    def record(self, entry: AuditEntry) -> None:
        """Add an entry."""
        ...

    def audit_entries(self, *, limit: int = 100, cursor: str | None = None) -> Page[AuditEntry]:
        """List entries, newest first."""
        ...


class ScenarioLog(Protocol):
    """Keeps jobs of scenarios and their results. One process at a time works on them, under a lease."""

    def add_scenario_job(self, job: ScenarioJob) -> None:
        """Keep a new job.

        Raises:
            ConflictError: If too many jobs are open already, or the id is taken.
        """
        ...

    def scenario_job(self, job_id: str) -> ScenarioJob | None:
        """Return a job, or None."""
        ...

    def scenario_jobs(
        self, *, states: Sequence[JobState] | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[ScenarioJob]:
        """List jobs by when they were asked for, newest first."""
        ...

    def requeue_scenario_jobs(self) -> int:
        """Let jobs that were being worked on wait again: whoever worked on them is gone. Return how many there were."""
        ...

    def take_scenario_job(self, *, now: datetime) -> ScenarioJob | None:
        """Begin the job that has waited longest, or None."""
        ...

    def note_scenario_progress(self, job_id: str, *, runs: int, runs_done: int, model_sha256: str) -> bool:
        """Keep how far a job has come; False if it is no longer to be worked on."""
        ...

    def end_scenario_job(
        self, job_id: str, state: JobState, *, now: datetime, detail: str = "", result: bytes | None = None
    ) -> ScenarioJob:
        """End an open job, once, with its result if there is one.

        Raises:
            NotFoundError: If there is no such job.
            ConflictError: If it has ended already.
        """
        ...

    def scenario_result(self, job_id: str) -> bytes | None:
        """Return what a job answered, as JSON, or None."""
        ...

    def drop_scenario_job(self, job_id: str) -> None:
        """Forget a job that has ended.

        Raises:
            NotFoundError: If there is no such job.
            ConflictError: If it is still open.
        """
        ...


class Coordination(Protocol):
    """What the roles of one installation need to know of each other."""

    def acquire_lease(self, name: str, holder: str, *, ttl_s: float, now: datetime) -> bool:
        """Take or prolong a lease; False while another holder's has not run out."""
        ...

    def release_lease(self, name: str, holder: str) -> None:
        """Give a lease back; nothing happens if another holds it."""
        ...

    def beat(self, beat: Beat) -> None:
        """Leave a sign of life (the newest per role is kept)."""
        ...

    def beats(self) -> dict[str, Beat]:
        """Return the newest sign of life of each role."""
        ...


class Registry(
    DeadLetters,
    SensorRegistry,
    CustomerRegistry,
    ValveRegistry,
    IncidentLog,
    NoticeLog,
    ForecastArchive,
    WeatherArchive,
    StateArchive,
    ModelFiles,
    KeyStore,
    AuditLog,
    Coordination,
    EventLog,
    GapLedger,
    WindowLog,
    StaleMarks,
    ImportLog,
    TrustLog,
    ResidualLog,
    ScenarioLog,
    Protocol,
):
    """Everything relational, in one database. Use cases ask for the narrow ports above, not for this."""

    def check(self) -> None:
        """Return if the database answers and can be written; raise UnavailableError or StorageFullError if not."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


# ---------------------------------------------------------------------------------------------------- outside


class WeatherSource(Protocol):
    """A provider of weather forecasts."""

    @property
    def name(self) -> str:
        """The provider's name, as shown on forecasts."""
        ...

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        """Return the newest forecast known at `now`, or raise UnavailableError / InputError with the cause."""
        ...


@dataclass(frozen=True, slots=True)
class SupplyRequest:
    """What a supply run is made from. Every reading is trusted and was known at `issued_at`.

    `latest` holds each sensor's newest reading, `history` the readings of the last days in order of time.
    `horizon_s` counts from `issued_at`; `required_pressure_m` is the service pressure; `members` is how many courses
    of demand are run beside the median one.
    """

    run_id: str
    issued_at: datetime
    sensors: Mapping[str, Sensor]
    latest: Mapping[str, Reading]
    history: Mapping[str, Sequence[Reading]]
    horizon_s: int = 48 * 3600
    required_pressure_m: float = 10.0
    members: int = 0


class SupplyModel(Protocol):
    """A model of the supply network that runs apart from this process and cannot take it down."""

    @property
    def network(self) -> Network:
        """The network's nodes and links."""
        ...

    def run(self, request: SupplyRequest) -> SupplyForecast:
        """Return the look-ahead from T0, or raise ModelError with the cause."""
        ...


@dataclass(frozen=True, slots=True)
class MismatchQuestion:
    """What a search for a mismatch is made from: hourly moments up to `at`, and the ordinary time before it.

    `history` holds the trusted readings of `sensors` from two hours before `usual_from` to `at`, in order of time.
    """

    at: datetime
    hours: int
    usual_from: datetime
    usual_to: datetime
    sensors: Mapping[str, Sensor]
    history: Mapping[str, Sequence[Reading]]


@runtime_checkable
class FindsMismatch(Protocol):
    """A supply model that can say what explains its residuals."""

    def mismatch(self, question: MismatchQuestion) -> Mismatch:
        """Return what is different between the network and the model, or raise ModelError with the cause."""
        ...


@dataclass(frozen=True, slots=True)
class ObservedRain:
    """Rain that fell: `rain_mm[i]` in the `interval_s` seconds ending at `valid_from + (i + 1) * interval_s`.

    `missing` counts the intervals without a trusted reading, which stand as 0.
    """

    gage_id: str
    valid_from: datetime
    interval_s: int
    rain_mm: tuple[float, ...]
    missing: int = 0


class DrainageModel(Protocol):
    """A model of the drainage network that runs apart from this process and cannot take it down."""

    @property
    def network(self) -> Network:
        """The network's nodes and links."""
        ...

    @property
    def model_id(self) -> str:
        """The model's name."""
        ...

    @property
    def state_key(self) -> str:
        """The key that a saved state must carry to be used with this model."""
        ...

    def update(
        self, state: DrainageState | None, *, start: datetime, end: datetime, rain: Sequence[ObservedRain]
    ) -> DrainageState:
        """Run observed rain from `start` (the state's time; cold without a state) to `end`; raise ModelError."""
        ...

    def forecast(
        self, state: DrainageState, ensemble: WeatherEnsemble, *, run_id: str, horizon_s: int
    ) -> DrainageForecast:
        """Run every member from the state's time on, or raise ModelError if none can be run at all."""
        ...


# --------------------------------------------------------------------------------------------------- going out


class NoticeWriter(Protocol):
    """Writes the words of a notice in every language offered."""

    def write(self, incident: Incident, *, notice: Notice, to: NoticeState) -> Mapping[str, NoticeText]:
        """Return {language: NoticeText} for the incident as it stands.

        `notice` holds the figures to be told (streets, connections, window) and the steps taken so far; `to` is the
        public state that the words are for.
        """
        ...
