"""The weather services over real HTTP on loopback: caching, 304, failures, time-outs, huge and broken answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ingest.weather.ladder import WeatherLadder
from ingest.weather.met_norway import MetNorway
from ingest.weather.open_meteo import OpenMeteo
from ingest.weather.polite import PoliteClient
from twin.errors import InputError, UnavailableError
from twin.forecasts import Rung

DATA = Path(__file__).parents[1] / "data" / "weather"
MET = (DATA / "met_norway" / "lat40.7lon-74.0altitude10_compact.json").read_bytes()
METEO = (DATA / "open_meteo" / "ensemble_shape_SYNTHETIC.json").read_bytes()
NOW = datetime(2020, 7, 20, 12, tzinfo=UTC)
WHO = "h2twin-test ops@example.org"


@dataclass
class Service:
    """A weather service on loopback that answers as told and remembers what it was asked."""

    url: str
    answer: Callable[[BaseHTTPRequestHandler], object] = id
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, dict(self.headers)))
            found.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Service(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(5)


def sends(body: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def client() -> Iterator[PoliteClient]:
    yield from a_client()


def a_client(**changes) -> Iterator[PoliteClient]:
    options = {"user_agent": WHO, "timeout_s": 5.0, "backoff_s": 0.0, "min_interval": timedelta(minutes=1)}
    made = PoliteClient(**{**options, **changes})
    yield made
    made.close()


DATED = {"Date": "Mon, 20 Jul 2020 11:44:31 GMT", "Expires": "Mon, 20 Jul 2020 12:14:31 GMT"}  # half an hour
MODIFIED = {"Last_Modified": "Mon, 20 Jul 2020 11:44:31 GMT", "ETag": '"abc"'}


# ------------------------------------------------------------------------------------------------- what is asked


def test_met_norway_is_asked_by_name_for_the_place(service, client):
    service.answer = sends(MET)
    found = MetNorway(service.url, 41.123456, -8.6, user_agent=WHO, client=client, gage_id="G1").fetch(now=NOW)
    path, headers = service.asked[0]
    assert path == "/weatherapi/locationforecast/2.0/compact?lat=41.1235&lon=-8.6000"
    assert headers["User-Agent"] == WHO
    assert (found.gage_id, found.available_at) == ("G1", NOW)
    assert sum(found.members[0].rain_mm) == pytest.approx(9.2)


def test_open_meteo_is_asked_in_utc_and_millimetres_with_the_key(service, client):
    service.answer = sends(METEO)
    source = OpenMeteo(service.url + "/", 41.16, -8.63, ensemble=True, api_key="secret", client=client)
    assert len(source.fetch(now=NOW).members) == 3
    path = urlsplit(service.asked[0][0])
    assert path.path == "/v1/ensemble"
    asked = {name: values[0] for name, values in parse_qs(path.query).items()}
    assert asked["timezone"] == "UTC"
    assert asked["precipitation_unit"] == "mm"
    assert asked["apikey"] == "secret"
    assert asked["hourly"] == "precipitation,temperature_2m"


def test_the_deterministic_forecast_has_its_own_address(service, client):
    service.answer = sends(METEO)
    OpenMeteo(service.url, 41.16, -8.63, ensemble=False, client=client).fetch(now=NOW)
    assert service.asked[0][0].startswith("/v1/forecast?")
    assert "models" not in service.asked[0][0]


def test_an_answer_with_the_same_rain_keeps_its_time(service, client):
    service.answer = sends(METEO)
    source = OpenMeteo(service.url, 41.16, -8.63, ensemble=False, client=client)
    first = source.fetch(now=NOW)
    assert source.fetch(now=NOW + timedelta(hours=1)) is first
    service.answer = sends(METEO.replace(b"9.8", b"9.9"))
    assert source.fetch(now=NOW + timedelta(hours=2)).available_at == NOW + timedelta(hours=2)
    assert len(service.asked) == 3


# ------------------------------------------------------------------------------------------------------- caching


def test_an_answer_is_kept_until_it_expires_whatever_the_clocks_say(service, client):
    service.answer = sends(MET, **DATED)
    source = MetNorway(service.url, 41.0, -8.0, user_agent=WHO, client=client)
    later = datetime(2026, 1, 1, tzinfo=UTC)
    for minutes in (0, 10, 29):
        assert source.fetch(now=later + timedelta(minutes=minutes)).available_at == later
    assert len(service.asked) == 1
    source.fetch(now=later + timedelta(minutes=30))
    assert len(service.asked) == 2


def test_after_that_it_asks_whether_something_changed_and_304_keeps_the_answer(service, client):
    service.answer = sends(MET, **DATED, **MODIFIED)
    source = MetNorway(service.url, 41.0, -8.0, user_agent=WHO, client=client)
    first = source.fetch(now=NOW)
    service.answer = sends(b"", 304, **DATED)
    assert source.fetch(now=NOW + timedelta(minutes=31)) == first
    headers = service.asked[1][1]
    assert headers["If-Modified-Since"] == "Mon, 20 Jul 2020 11:44:31 GMT"
    assert headers["If-None-Match"] == '"abc"'
    source.fetch(now=NOW + timedelta(minutes=60))
    assert len(service.asked) == 2


@pytest.mark.parametrize(
    ("headers", "kept_s"),
    [
        pytest.param({"Cache_Control": "public, max-age=600"}, 600, id="max-age"),
        pytest.param({"Cache_Control": "max-age=600", **DATED}, 600, id="max-age before Expires"),
        pytest.param({"Cache_Control": "no-store"}, 60, id="no-store: the least interval"),
        pytest.param({}, 60, id="nothing said: the least interval"),
        pytest.param({"Expires": "0"}, 60, id="Expires in nonsense"),
        pytest.param({"Cache_Control": "max-age=-5"}, 60, id="max-age in nonsense"),
    ],
)
def test_how_long_an_answer_is_kept(service, client, headers, kept_s):
    service.answer = sends(METEO, **headers)
    for seconds in (0, kept_s - 1, kept_s):
        client.get(service.url, {}, now=NOW + timedelta(seconds=seconds))
    assert len(service.asked) == 2


def test_places_are_kept_apart(service, client):
    service.answer = sends(METEO)
    client.get(service.url, {"lat": "1"}, now=NOW)
    client.get(service.url, {"lat": "2"}, now=NOW)
    assert len(service.asked) == 2


# ------------------------------------------------------------------------------------------------------ failures


def test_a_short_failure_is_bridged(service):
    pauses: list[float] = []
    turns = iter([sends(b"oops", 500), sends(b"oops", 502), sends(MET)])
    service.answer = lambda handler: next(turns)(handler)
    for client in a_client(backoff_s=0.25, pause=pauses.append):
        client.get(service.url, {}, now=NOW)
    assert pauses == [0.25, 0.5]


def test_a_long_failure_is_unavailable_with_its_cause(service, client):
    service.answer = sends(b"oops", 500)
    with pytest.raises(UnavailableError, match="3 times, last: status 500"):
        MetNorway(service.url, 41.0, -8.0, user_agent=WHO, client=client).fetch(now=NOW)
    assert len(service.asked) == 3


def test_a_refusal_is_not_asked_again_and_shows_what_the_service_said_but_no_key(service, client):
    service.answer = sends(b"Missing User-Agent", 403)
    with pytest.raises(UnavailableError, match="403: 'Missing User-Agent'") as raised:
        OpenMeteo(service.url, 41.0, -8.0, ensemble=False, api_key="secret", client=client).fetch(now=NOW)
    assert len(service.asked) == 1
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_asks_for_time_gets_it(service, client, status):
    service.answer = sends(b"", status, Retry_After="120")
    with pytest.raises(UnavailableError, match=str(status)):
        client.get(service.url, {}, now=NOW)
    with pytest.raises(UnavailableError, match="not to come back before"):
        client.get(service.url, {}, now=NOW + timedelta(seconds=119))
    assert len(service.asked) == 1
    service.answer = sends(METEO)
    client.get(service.url, {}, now=NOW + timedelta(seconds=120))
    assert len(service.asked) == 2


def test_a_silent_service_times_out(service):
    released = threading.Event()
    service.answer = lambda _handler: released.wait(20)
    began = time.monotonic()
    for client in a_client(timeout_s=0.2, attempts=2):
        with pytest.raises(UnavailableError, match="ReadTimeout"):
            client.get(service.url, {}, now=NOW)
    released.set()
    assert time.monotonic() - began < 10


def test_a_dripping_service_is_cut_off(service):
    released = threading.Event()

    def drip(handler):
        handler.send_response_only(200)
        handler.end_headers()
        while not released.wait(0.02):
            try:
                handler.wfile.write(b" " * 70_000)
            except OSError:
                return

    service.answer = drip
    for client in a_client(total_s=0.3, attempts=1, max_bytes=10**9):
        with pytest.raises(UnavailableError, match=r"longer than 0\.3 s"):
            client.get(service.url, {}, now=NOW)
    released.set()


def test_an_absent_service_is_unavailable(client):
    with pytest.raises(UnavailableError, match="ConnectError"):
        client.get("http://127.0.0.1:1", {}, now=NOW)


def test_a_huge_answer_is_refused(service):
    service.answer = sends(b" " * 300_000)
    for client in a_client(max_bytes=100_000):
        with pytest.raises(InputError, match="more than 100000 bytes"):
            client.get(service.url, {}, now=NOW)


@pytest.mark.parametrize(
    "body", [b"<html>maintenance</html>", b"{}", b"", json.dumps({"hourly": {"time": 3}}).encode()]
)
def test_a_broken_answer_is_an_input_error(service, client, body):
    service.answer = sends(body)
    for source in (
        MetNorway(service.url, 41.0, -8.0, user_agent=WHO, client=client),
        OpenMeteo(service.url, 41.0, -8.0, ensemble=True, client=client),
    ):
        with pytest.raises(InputError):
            source.fetch(now=NOW)


def test_a_redirect_is_not_followed(service, client):
    service.answer = sends(b"", 302, Location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(UnavailableError, match="302"):
        client.get(service.url, {}, now=NOW)


# ---------------------------------------------------------------------------------------------------- the ladder


class Archive:
    """Keeps the newest forecast only."""

    kept = None

    def save_weather(self, ensemble):
        self.kept = ensemble

    def latest_weather(self, *, known_at, gage_id=None):
        return self.kept


def test_the_ladder_steps_down_and_up_again_as_the_service_does(service, client):
    met = MetNorway(service.url, 41.0, -8.0, user_agent=WHO, client=client)
    ladder = WeatherLadder([(Rung.DETERMINISTIC, met)], Archive())
    service.answer = sends(b"oops", 500)
    assert ladder.fetch(now=NOW).rung is Rung.CLIMATOLOGY
    service.answer = sends(MET)
    assert ladder.fetch(now=NOW + timedelta(minutes=5)).rung is Rung.DETERMINISTIC
    service.answer = sends(b"oops", 500)
    fallen = ladder.fetch(now=NOW + timedelta(minutes=10))
    assert fallen.rung is Rung.LAST_GOOD
    assert "status 500" in fallen.causes[0]
    assert fallen.available_at == NOW + timedelta(minutes=5)
