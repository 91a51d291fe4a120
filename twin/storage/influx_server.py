"""The InfluxDB 2 server behind the spool: lines in, answers to Flux questions out, errors told apart by what to do.

Everything is synchronous: the client's own batching writer loses data without a word. An answer is taken only whole:
a question that ends in an error or in the middle raises, it never yields less.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import nlargest
from itertools import pairwise

import urllib3
from influxdb_client import InfluxDBClient
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from twin.clock import format_time
from twin.errors import UnavailableError
from twin.readings import TRUSTED, Reading
from twin.storage.influx_lines import (
    FIRST_MOMENT,
    LAST_MOMENT,
    MEASUREMENT,
    from_row,
    moment_of,
    sensor_of_tag,
    tag_text,
)
from twin.storage.readings_rows import to_microseconds

_BATCH_REFUSED = frozenset({400, 413, 422})
_A_PERSON_MUST = {
    401: "the token is not known to it: set TWIN_INFLUX_TOKEN to one with read and write access",
    403: "the token may not do this: it needs read and write access to the bucket",
    404: "organisation or bucket do not exist: create them, or mend TWIN_INFLUX_ORG and TWIN_INFLUX_BUCKET",
}
_MICROSECOND = timedelta(microseconds=1)
_WINDOWS = (timedelta(days=1), timedelta(days=30), None)


class LinesRefusedError(Exception):
    """The server answers, and at least one of the lines is not acceptable to it."""


class InfluxServer:
    """One bucket of one server. `timeout_s` bounds every request."""

    def __init__(self, url: str, token: str, org: str, bucket: str, *, timeout_s: float = 30.0) -> None:
        self._url = url
        self._org = org
        self._bucket = bucket
        # Answers come packed; what is written is packed already when it comes here.
        self._asking, self._writing = (
            InfluxDBClient(
                url=url,
                token=token,
                org=org,
                timeout=int(timeout_s * 1000),
                enable_gzip=is_packing,
                retries=urllib3.Retry(0),
                connection_pool_maxsize=16,
            )
            for is_packing in (True, False)
        )
        self._writer = WriteService(self._writing.api_client)
        self._asker = self._asking.query_api()

    def write(self, packed: bytes) -> None:
        """Write packed lines (gzip; microseconds); when this returns the server has them all.

        Raises:
            LinesRefusedError: If the server refuses some of them for what they say.
            UnavailableError: If it is away, overloaded, or does not let us in.
        """
        try:
            self._writer.post_write(
                org=self._org, bucket=self._bucket, body=packed, precision=WritePrecision.US, content_encoding="gzip"
            )
        except ApiException as error:
            if error.status in _BATCH_REFUSED and _influx_says(error):
                raise LinesRefusedError(_influx_says(error)) from error
            raise self._told(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._away(error) from error

    def check(self) -> None:
        """Return if the bucket can be read; raise UnavailableError if not."""
        self._ask(f"{self._bucket_from()} |> range(start: -1s) |> limit(n: 1)")

    def between(
        self, sensor_id: str, start: datetime, end: datetime, *, known_at: datetime | None, limit: int | None
    ) -> list[Reading]:
        """Return the bucket's readings with start <= observed_at < end in order of time."""
        question = self._range(start, end)
        if question is None:
            return []
        question += f" |> filter(fn: (r) => r.sensor_id == {_flux_text(tag_text(sensor_id))}) {_PIVOT}"
        question += _known(known_at) + ' |> sort(columns: ["_time"])'
        if limit is not None:
            question += f" |> limit(n: {max(limit, 1)})"
        return list(self._readings(question))

    def latest(
        self, sensor_ids: Collection[str], *, at: datetime, known_at: datetime | None, trusted_only: bool
    ) -> dict[str, Reading]:
        """Return the newest reading of each sensor with observed_at <= at, looking back further until all are found."""
        found: dict[str, Reading] = {}
        at = min(at, LAST_MOMENT)
        if len(sensor_ids) > _SENSORS_AT_ONCE:  # one question about all tells which need not be asked for
            held = self.newest_times()
            sensor_ids = [sensor_id for sensor_id in sensor_ids if sensor_id in held]
        for window in _WINDOWS:
            start = FIRST_MOMENT if window is None else max(at, FIRST_MOMENT + window) - window
            question = self._range(start, at + _MICROSECOND)
            if question is None:
                break
            for wanted in _portions([sensor_id for sensor_id in sensor_ids if sensor_id not in found]):
                if known_at is not None:
                    _keep_newest(found, self._newest(question, wanted, known_at, trusted_only))
                    continue
                newest = {reading.sensor_id: reading for reading in self._last_of_each_field(question, wanted)}
                unusable = {name for name, reading in newest.items() if trusted_only and not reading.is_trusted}
                _keep_newest(found, (reading for name, reading in newest.items() if name not in unusable))
                if unusable:
                    _keep_newest(found, self._newest_trusted(question, unusable))
        return found

    def held(self, keys: Collection[tuple[str, datetime]]) -> dict[tuple[str, datetime], Reading]:
        """Return those of the keys that the bucket holds, with their readings."""
        wanted = {key for key in keys if FIRST_MOMENT <= key[1] <= LAST_MOMENT}
        held = {}
        for run in _runs(wanted):
            question = self._range(run[0][1], run[-1][1] + _MICROSECOND)
            assert question is not None  # every run lies within what InfluxDB can keep
            for sensor_ids in _portions(sorted({sensor_id for sensor_id, _ in run})):
                for reading in self._readings(f"{question}{_of_sensors(sensor_ids)} {_PIVOT}"):
                    if reading.key in wanted:
                        held[reading.key] = reading
        return held

    def first_come(self, keys: Collection[tuple[str, datetime]]) -> dict[tuple[str, datetime], Reading]:
        """Return as `held`, for keys of which the bucket is expected to hold hardly any: one field is asked first.

        Within a few seconds all sensors are asked at once: naming them takes longer.
        """
        wanted = {key for key in keys if FIRST_MOMENT <= key[1] <= LAST_MOMENT}
        there = set()
        for run in _densest(wanted):
            question = self._range(run[0][1], run[-1][1] + _MICROSECOND)
            assert question is not None  # every run lies within what InfluxDB can keep
            sensor_ids = sorted({sensor_id for sensor_id, _ in run})
            is_narrow = len(sensor_ids) > _SENSORS_AT_ONCE and run[-1][1] - run[0][1] <= _SHORT
            filters = [""] if is_narrow else [_of_sensors(portion) for portion in _portions(sensor_ids)]
            for sensors in filters:
                asked = f'{question}{sensors} |> filter(fn: (r) => r._field == "available_us")'
                there |= {(sensor_of_tag(row["sensor_id"]), moment_of(row["_time"])) for row in self._ask(asked)}
        return self.held(wanted & there)

    def newest_times(self) -> dict[str, datetime]:
        """Return the newest observed_at of every sensor in the bucket."""
        newest: dict[str, datetime] = {}
        for row in self._ask(f"{self._everything()} |> last()"):
            sensor_id, moment = sensor_of_tag(row["sensor_id"]), moment_of(row["_time"])
            newest[sensor_id] = max(moment, newest.get(sensor_id, moment))
        return newest

    def count(self) -> int:
        """Return how many readings the bucket holds."""
        return sum(int(row["_value"]) for row in self._ask(f"{self._everything()} |> count()"))

    def close(self) -> None:
        """Release the connections."""
        self._writing.close()
        self._asking.close()

    def _everything(self) -> str:
        question = self._range(FIRST_MOMENT, LAST_MOMENT + _MICROSECOND)
        return f'{question} |> filter(fn: (r) => r._field == "available_us")'

    def _bucket_from(self) -> str:
        return f"from(bucket: {_flux_text(self._bucket)})"

    def _range(self, start: datetime, end: datetime) -> str | None:
        """Return the beginning of a question, or None if the range holds no moment that InfluxDB can keep."""
        start, end = max(start, FIRST_MOMENT), min(end, LAST_MOMENT + _MICROSECOND)
        if start >= end:
            return None
        return (
            f"{self._bucket_from()} |> range(start: {format_time(start)}, stop: {format_time(end)})"
            f' |> filter(fn: (r) => r._measurement == "{MEASUREMENT}")'
        )

    def _newest(
        self, question: str, sensor_ids: Collection[str], known_at: datetime | None, trusted_only: bool
    ) -> Iterator[Reading]:
        """Return the newest reading of every sensor that was known by `known_at` and is good enough."""
        wanted = _known(known_at) + (_TRUSTED if trusted_only else "")
        return self._readings(
            f'{question}{_of_sensors(sensor_ids)}{_PIVOT}{wanted} |> sort(columns: ["_time"]) |> tail(n: 1)'
        )

    def _newest_trusted(self, question: str, sensor_ids: Collection[str]) -> Iterable[Reading]:
        """Return the newest trusted reading of every sensor: first when it was, by the one field, then what it says."""
        asked = f'{question}{_of_sensors(sensor_ids)} |> filter(fn: (r) => r._field == "quality"){_TRUSTED_VALUE}'
        keys = {(sensor_of_tag(row["sensor_id"]), moment_of(row["_time"])) for row in self._ask(f"{asked} |> last()")}
        return self.held(keys).values()

    def _last_of_each_field(self, question: str, sensor_ids: Collection[str]) -> Iterator[Reading]:
        """Join the last value of every field of a sensor; a field that is older is not part of the newest point."""
        series: dict[str, dict[str, dict[str, str]]] = {}
        for row in self._ask(f"{question}{_of_sensors(sensor_ids)} |> last()"):
            series.setdefault(row["sensor_id"], {})[row["_field"]] = row
        for fields in series.values():
            if "value" not in fields:
                continue
            newest = fields["value"]
            same = {name: row["_value"] for name, row in fields.items() if row["_time"] == newest["_time"]}
            yield from self._ours([{**newest, **same}])

    def _readings(self, question: str) -> Iterator[Reading]:
        yield from self._ours(self._ask(question))

    def _ours(self, rows: list[dict[str, str]]) -> Iterator[Reading]:
        for row in rows:
            try:
                reading = from_row(row)
            except ValueError as error:
                raise UnavailableError(
                    f"bucket {self._bucket!r} holds a point that h2twin did not write, of sensor {row['sensor_id']!r} "
                    f"at {row.get('_time')} ({error}): give h2twin a bucket of its own"
                ) from error
            if reading is not None:
                yield reading

    def _ask(self, question: str) -> list[dict[str, str]]:
        """Return the rows of an answer, whole, each as {column: text}."""
        try:
            answer = self._asker.query_raw(question, dialect=_DIALECT)
            text = answer.data.decode()
        except ApiException as error:
            raise self._told(error) from error
        except (urllib3.exceptions.HTTPError, OSError, UnicodeDecodeError) as error:
            raise self._away(error) from error
        return list(self._rows(text))

    def _rows(self, text: str) -> Iterator[dict[str, str]]:
        header: list[str] | None = None
        for cells in csv.reader(io.StringIO(text, newline="")):
            if not cells:
                header = None
            elif header is None:
                header = cells
            elif "error" in header and "reference" in header:
                raise UnavailableError(f"InfluxDB at {self._url} broke off its answer: {cells[header.index('error')]}")
            else:
                yield dict(zip(header, cells, strict=True))

    def _told(self, error: ApiException) -> UnavailableError:
        said = _influx_says(error) or str(error.reason)
        if error.status in _A_PERSON_MUST:
            return UnavailableError(f"InfluxDB at {self._url} refuses us: {_A_PERSON_MUST[error.status]} ({said})")
        return UnavailableError(f"InfluxDB at {self._url} answered {error.status}: {said}")

    def _away(self, error: Exception) -> UnavailableError:
        return UnavailableError(f"InfluxDB at {self._url} is away: {error}")


_WORDS = ("reasons", "unit", "raw_unit")  # were once written empty, which mixes up their column of an answer
_NOT_EMPTY = " |> filter(fn: (r) => " + " and ".join(f'r._field != "{name}"' for name in _WORDS) + ' or r._value != "")'
_PIVOT = _NOT_EMPTY + ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
_TRUSTED = " |> filter(fn: (r) => " + " or ".join(f'r.quality == "{quality}"' for quality in sorted(TRUSTED)) + ")"
_TRUSTED_VALUE = _TRUSTED.replace("r.quality", "r._value")
_DIALECT = {"header": True, "delimiter": ",", "annotations": [], "commentPrefix": "#", "dateTimeFormat": "RFC3339Nano"}
_RUN_GAP = timedelta(hours=6)
_SENSORS_AT_ONCE = 100
_RUNS_AT_MOST = 8
_SHORT = timedelta(seconds=10)


def _runs(keys: Collection[tuple[str, datetime]]) -> Iterator[list[tuple[str, datetime]]]:
    """Split keys in order of time wherever nothing is asked for longer than the gap: one question a run."""
    run: list[tuple[str, datetime]] = []
    for key in sorted(keys, key=lambda key: key[1]):
        if run and key[1] - run[-1][1] > _RUN_GAP:
            yield run
            run = []
        run.append(key)
    if run:
        yield run


def _densest(keys: Collection[tuple[str, datetime]]) -> Iterator[list[tuple[str, datetime]]]:
    """Split keys in order of time at the longest gaps, into a few runs: few questions that span little."""
    ordered = sorted(keys, key=lambda key: key[1])
    gaps = [(ordered[place][1] - ordered[place - 1][1], place) for place in range(1, len(ordered))]
    longest = nlargest(_RUNS_AT_MOST - 1, (gap for gap in gaps if gap[0] > _SHORT))
    cuts = [0, *sorted(place for _, place in longest), len(ordered)]
    yield from (ordered[first:last] for first, last in pairwise(cuts) if first < last)


def _keep_newest(found: dict[str, Reading], readings: Iterable[Reading]) -> None:
    for reading in readings:
        held = found.get(reading.sensor_id)
        if held is None or held.observed_at < reading.observed_at:
            found[reading.sensor_id] = reading


def _portions(sensor_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split a long list: the time of a question grows with the square of the sensors named in it."""
    for first in range(0, len(sensor_ids), _SENSORS_AT_ONCE):
        yield sensor_ids[first : first + _SENSORS_AT_ONCE]


def _of_sensors(sensor_ids: Collection[str]) -> str:
    choices = [f"r.sensor_id == {_flux_text(tag_text(sensor_id))}" for sensor_id in sorted(sensor_ids)]
    return f" |> filter(fn: (r) => {_any_of(choices)})"


def _any_of(choices: Sequence[str]) -> str:
    """Join with `or` as a balanced tree: Flux refuses a long chain as nested too deep."""
    if len(choices) == 1:
        return choices[0]
    half = len(choices) // 2
    return f"({_any_of(choices[:half])} or {_any_of(choices[half:])})"


def _known(known_at: datetime | None) -> str:
    if known_at is None:
        return ""
    return f" |> filter(fn: (r) => r.available_us <= {to_microseconds(known_at)})"


def _flux_text(text: str) -> str:
    """Write a Flux string: backslash, quote and interpolation are escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


def _influx_says(error: ApiException) -> str:
    """Return the message of an InfluxDB error, or the empty text if something else answered (a proxy)."""
    try:
        answer = json.loads(error.body or "")
    except (TypeError, ValueError):
        return ""
    return str(answer.get("message") or answer["code"]) if isinstance(answer, dict) and answer.get("code") else ""
