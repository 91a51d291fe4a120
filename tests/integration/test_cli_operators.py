"""The operators' verbs: keys, incidents, notices, dead letters, KPIs, settings, doctor, replay, help."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from command_line import CommandLine
from served import T0, a_beat, a_letter, a_notice, an_incident, customers
from servers.mosquitto import mosquitto

from api.cli import app
from twin.clock import SystemClock
from twin.notices import NoticeState
from twin.ports import Registry
from twin.storage.registry import open_registry


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@contextmanager
def _registry(h2twin: CommandLine) -> Iterator[Registry]:
    h2twin.data_dir.mkdir(exist_ok=True, mode=0o700)
    registry = open_registry(f"sqlite:///{h2twin.data_dir / 'registry.db'}")
    try:
        yield registry
    finally:
        registry.close()


def _verbs() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name, command in typer.main.get_group(app).commands.items():
        found.append((name,))
        found += [(name, below) for below in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("verb", _verbs(), ids=" ".join)
def test_every_verb_explains_itself(h2twin: CommandLine, verb: tuple[str, ...]) -> None:
    answer = h2twin(*verb, "--help")
    assert answer.code == 0
    assert "Usage: " in answer.out
    assert not h2twin.data_dir.exists()


def test_the_contract_s_verbs_are_all_there() -> None:
    named = {verb[0] for verb in _verbs() if verb}
    assert named >= {
        "demo", "serve", "replay", "import", "doctor", "dead", "supply", "flood", "weather", "notices", "kpis",
        "settings", "keys", "backup", "restore",
    }  # fmt: skip


def test_the_version_is_the_installed_one(h2twin: CommandLine) -> None:
    from importlib.metadata import version

    assert h2twin("--version").out == f"h2twin {version('h2twin')}\n"


@pytest.mark.parametrize("verb", [("settings",), ("keys", "list"), ("serve",), ("doctor",)], ids=" ".join)
def test_an_unknown_setting_is_a_configuration_error(h2twin: CommandLine, verb: tuple[str, ...]) -> None:
    h2twin.set("TWIN_DATABSE_URL", "postgresql://x")
    answer = h2twin(*verb)
    assert (answer.code, answer.out) == (2, "")
    assert "TWIN_DATABSE_URL" in answer.err


def test_a_setting_out_of_its_range_is_named_with_the_rule(h2twin: CommandLine) -> None:
    h2twin.set("TWIN_CYCLE_S", "0")
    answer = h2twin("settings")
    assert answer.code == 2
    assert "TWIN_CYCLE_S" in answer.err


def test_settings_are_shown_without_secrets(h2twin: CommandLine) -> None:
    h2twin.set("TWIN_MQTT_URL", "mqtt://user:very-secret-7@127.0.0.1:1883")
    items = {item["name"]: item["value"] for item in h2twin.ok("settings")["items"]}
    assert items["TWIN_MQTT_URL"] == "(set)"
    assert items["TWIN_CYCLE_S"] == "300.0"
    assert "very-secret-7" not in h2twin("settings").out


def test_an_unknown_option_or_verb_is_a_mistake_of_the_command_line(h2twin: CommandLine) -> None:
    assert h2twin("keys", "list", "--jsn").code == 2
    assert h2twin("servee").code == 2
    assert h2twin("keys", "create", "--role", "viewer").code == 2


def test_keys_are_made_listed_and_revoked(h2twin: CommandLine) -> None:
    assert h2twin.ok("keys", "list") == {"items": []}
    assert "h2twin keys create" in h2twin("keys", "list").out
    made = h2twin.ok("keys", "create", "--role", "operator", "--name", "control room")
    assert set(made) == {"id", "key", "role"}
    (kept,) = h2twin.ok("keys", "list")["items"]
    assert (kept["id"], kept["name"], kept["revoked_at"]) == (made["id"], "control room", None)
    assert made["key"] not in h2twin("keys", "list", "--json").out
    assert h2twin.ok("keys", "revoke", made["id"])["id"] == made["id"]
    assert h2twin.ok("keys", "list")["items"][0]["revoked_at"] is not None
    assert h2twin("keys", "revoke", "nobody").code == 3
    assert h2twin("keys", "create", "--role", "king", "--name", "x").code == 3
    assert (h2twin.data_dir.stat().st_mode & 0o777) == 0o700


def test_incidents_are_listed_acknowledged_and_shelved(h2twin: CommandLine) -> None:
    assert h2twin.ok("incidents", "list") == {"items": [], "next_cursor": None}
    with _registry(h2twin) as registry:
        registry.save_incidents([an_incident()])
    assert [i["incident_id"] for i in h2twin.ok("incidents", "list", "--open")["items"]] == ["i-1"]
    seen = h2twin.ok("incidents", "acknowledge", "i-1", "--by", "Ana")
    assert seen["acknowledged_by"] == "Ana"
    shelved = h2twin.ok("incidents", "shelve", "i-1", "--by", "Ana", "--hours", "2", "--reason", "planned works")
    assert (shelved["shelved_by"], shelved["shelved_reason"]) == ("Ana", "planned works")
    assert h2twin.ok("incidents", "unshelve", "i-1", "--by", "Rui")["shelved_by"] == ""
    assert h2twin("incidents", "acknowledge", "i-9", "--by", "Ana").code == 3
    with _registry(h2twin) as registry:
        done = {(entry.actor, entry.action) for entry in registry.audit_entries().items}
    assert done >= {("Ana", "incident.acknowledge"), ("Ana", "incident.shelve"), ("Rui", "incident.unshelve")}


def test_notices_are_approved_published_and_cancelled(h2twin: CommandLine) -> None:
    with _registry(h2twin) as registry:
        registry.upsert_customers(customers())
        registry.save_incidents([an_incident(), an_incident("i-2")])
        for number in (1, 2):
            draft = a_notice(f"n-{number}", to=NoticeState.DRAFT, incident_id=f"i-{number}")
            registry.save_notice(draft)
    assert {n["state"] for n in h2twin.ok("notices", "list")["items"]} == {"draft"}
    early = h2twin("notices", "publish", "n-1", "--by", "Ana")
    assert early.code == 3
    assert h2twin.ok("notices", "approve", "n-1", "--by", "Ana")["state"] == "approved"
    assert h2twin.ok("notices", "publish", "n-1", "--by", "Ana")["state"] == "published"
    assert h2twin.ok("notices", "cancel", "n-2", "--by", "Ana")["state"] == "cancelled"
    assert h2twin("notices", "cancel", "n-1", "--by", "Ana").code == 3
    assert h2twin("notices", "approve", "n-9", "--by", "Ana").code == 3


def test_dead_letters_are_listed_and_shown(h2twin: CommandLine) -> None:
    assert h2twin.ok("dead", "list") == {"items": [], "next_cursor": None}
    assert "every message became a reading" in h2twin("dead", "list").out
    with _registry(h2twin) as registry:
        registry.bury([a_letter(), a_letter(b"\xff\x00", "h2/g1/P8")])
    items = {item["topic"]: item for item in h2twin.ok("dead", "list")["items"]}
    assert items["h2/g1/P9"]["payload"] == '{"value": "x"}'
    assert items["h2/g1/P8"]["payload_b64"] == "/wA="
    shown = h2twin.ok("dead", "show", items["h2/g1/P9"]["id"])
    assert shown == items["h2/g1/P9"]
    assert h2twin("dead", "show", 999).code == 3
    assert h2twin("dead", "list", "--cursor", "nonsense").code == 3


def test_a_letter_stays_when_no_broker_takes_it(h2twin: CommandLine) -> None:
    with _registry(h2twin) as registry:
        registry.bury([a_letter()])
    (item,) = h2twin.ok("dead", "list")["items"]
    answer = h2twin("dead", "requeue", item["id"])
    assert answer.code == 2
    assert "--mqtt-url" in answer.err
    assert len(h2twin.ok("dead", "list")["items"]) == 1


@pytest.mark.needs_mosquitto
def test_letters_are_requeued_through_a_real_broker(h2twin: CommandLine, tmp_path: Path) -> None:
    with _registry(h2twin) as registry:
        registry.bury([a_letter(), a_letter(b"{}", "h2/g1/P8")])
    ids = [item["id"] for item in h2twin.ok("dead", "list")["items"]]
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as (port, _):
        url = f"mqtt://127.0.0.1:{port}"
        done = h2twin.ok("dead", "requeue", *ids, "--mqtt-url", url)
        assert done == {"requeued": ids, "came_back": []}
        assert h2twin("dead", "requeue", 999, "--mqtt-url", url).code == 3
    assert h2twin.ok("dead", "list")["items"] == []


@pytest.mark.needs_mosquitto
def test_rows_of_a_file_are_requeued_only_where_somebody_takes_them(h2twin: CommandLine, tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text("sensor_id,observed_at,value\nP9,2026-01-01T00:00:00Z,31\nP9,yesterday,31\n")
    assert h2twin.ok("import", "readings", history)["dead_letters"] == 2
    letters = {item["topic"]: item["id"] for item in h2twin.ok("dead", "list")["items"]}
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as (port, _):
        both = [letters["h2/import/P9"], letters["import/history.csv"]]
        answer = h2twin("dead", "requeue", *both, "--mqtt-url", f"mqtt://127.0.0.1:{port}")
        assert answer.code == 3
        assert "history.csv" in answer.err
        assert "import the file again" in answer.err
        assert len(h2twin.ok("dead", "list")["items"]) == 2  # all are looked at before the first is published
        h2twin.ok("dead", "requeue", both[0], "--mqtt-url", f"mqtt://127.0.0.1:{port}")
    assert [item["id"] for item in h2twin.ok("dead", "list")["items"]] == [both[1]]


def test_kpis_of_an_empty_installation_are_unknown_and_not_perfect(h2twin: CommandLine) -> None:
    answer = h2twin.ok("kpis", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z")
    assert (answer["from"], answer["to"]) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    assert h2twin("kpis", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z").code == 3
    assert h2twin("kpis", "--from", "2026-01-02", "--json").code == 3
    assert h2twin("kpis").code == 0


def test_an_id_is_never_cut_off_in_a_table(h2twin: CommandLine) -> None:
    long_id = "outage_predicted-20260301T120000Z-0123456789"
    with _registry(h2twin) as registry:
        registry.save_incidents([an_incident(long_id)])
    assert long_id in h2twin("incidents", "list").out


def test_doctor_says_what_is_wrong_and_what_to_do(h2twin: CommandLine) -> None:
    answer = h2twin("doctor", "--json")
    assert answer.code == 4
    found = {check["name"]: check for check in answer.json["checks"]}
    assert not answer.json["ok"]
    assert found["engines"]["ok"]
    assert "EPANET" in found["engines"]["detail"] or "2.3" in found["engines"]["detail"]
    assert "h2twin import network" in found["models"]["detail"]
    assert "h2twin serve" in found["roles"]["detail"]
    assert "not well" in h2twin("doctor").err


def test_one_broken_part_does_not_keep_the_doctor_from_the_others(h2twin: CommandLine) -> None:
    h2twin.data_dir.mkdir(mode=0o700)
    (h2twin.data_dir / "readings.db").write_bytes(b"no database at all " * 100)
    h2twin.set("TWIN_MQTT_URL", "http://127.0.0.1:1883")
    found = {check["name"]: check for check in h2twin("doctor", "--json").json["checks"]}
    assert not found["readings"]["ok"]
    assert "readings.db" in found["readings"]["detail"]
    assert not found["broker"]["ok"]
    assert found["registry"]["ok"]
    assert found["engines"]["ok"]


def test_alive_tells_a_role_that_works_from_one_that_does_not(h2twin: CommandLine) -> None:
    assert h2twin("alive", "--role", "ingest").code == 4
    now = SystemClock().now()
    with _registry(h2twin) as registry:
        registry.beat(a_beat(at=now - timedelta(seconds=5), ok=False, detail="the broker is away"))
        registry.beat(a_beat(role="cycle", at=now - timedelta(seconds=500)))
    ingest = h2twin.ok("alive", "--role", "ingest")
    assert (ingest["role"], ingest["ok"], ingest["detail"]) == ("ingest", False, "the broker is away")
    assert 5 <= ingest["age_s"] < 60
    h2twin.ok("alive", "--role", "cycle")  # two cycles of 300 s have not passed yet
    h2twin.set("TWIN_CYCLE_S", "100")
    answer = h2twin("alive", "--role", "cycle", "--json")
    assert (answer.code, answer.out) == (4, "")
    assert "cycle: no sign of life" in answer.err
    assert h2twin("alive", "--role", "king").code == 2


def test_alive_is_about_our_own_ingester(h2twin: CommandLine) -> None:
    with _registry(h2twin) as registry:
        registry.beat(a_beat(at=SystemClock().now()))
    h2twin.ok("alive", "--role", "ingest")
    h2twin.set("TWIN_MQTT_CLIENT_ID", "ingester-b")
    answer = h2twin("alive", "--role", "ingest", "--json")
    assert (answer.code, answer.out) == (4, "")
    assert "ingest/ingester-b" in answer.err


def test_alive_loads_no_engine(h2twin: CommandLine) -> None:
    program = (
        "import sys; sys.argv = ['h2twin', 'alive', '--role', 'ingest']\nfrom api.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 4, end.code\n"
        "heavy = {'wntr', 'pandas', 'models', 'ingest', 'influxdb_client', 'fastapi'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_role_that_has_stopped_is_no_good_news(h2twin: CommandLine) -> None:

    with _registry(h2twin) as registry:
        registry.beat(a_beat(at=T0))
        registry.beat(a_beat(role="cycle", at=T0))
    found = {check["name"]: check for check in h2twin("doctor", "--json").json["checks"]}
    assert not found["roles"]["ok"]
    assert "ingest" in found["roles"]["detail"]


def test_a_data_folder_of_a_newer_version_is_refused_by_name(h2twin: CommandLine) -> None:
    h2twin.ok("keys", "list")
    path = h2twin.data_dir / "registry.db"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    answer = h2twin("keys", "list", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert str(path) in answer.err
    assert "newer" in answer.err


def test_a_data_folder_that_cannot_be_made_is_a_configuration_error(h2twin: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = h2twin("keys", "list", "--data-dir", tmp_path / "file" / "below")
    assert answer.code == 2
    assert "data folder" in answer.err


def test_a_replay_of_nothing_or_into_the_live_folder_is_refused(h2twin: CommandLine) -> None:
    assert h2twin("replay").code == 3
    period = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z")
    assert h2twin("replay", *period, "--into", h2twin.data_dir).code == 2
    assert h2twin("replay", *period, "--speed", "-1").code == 3
