from pathlib import Path

import pytest

from api.settings import Settings, load_settings
from twin.errors import ConfigError
from twin.incidents import IncidentKind


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("TWIN_")]:
        monkeypatch.delenv(name)


def test_defaults_are_the_embedded_shape() -> None:
    settings = load_settings()
    assert (settings.mqtt_url, settings.influx_url, settings.database_url) == (None, None, None)
    assert settings.notice_auto_publish == frozenset()


def test_the_environment_is_read_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_CYCLE_S", "60")
    monkeypatch.setenv("TWIN_DATA_DIR", "from-environment")
    monkeypatch.setenv("TWIN_NOTICE_AUTO_PUBLISH", "flood_predicted,outage_observed")
    monkeypatch.setenv("TWIN_NOTICE_SENDER", "water@example.org")
    monkeypatch.setenv("TWIN_PUBLIC_URL", "https://water.example.org")
    settings = load_settings(data_dir=Path("from-option"), mqtt_url=None)
    assert settings.cycle_s == 60
    assert settings.data_dir == Path("from-option")
    assert settings.notice_auto_publish == {IncidentKind.FLOOD_PREDICTED, IncidentKind.OUTAGE_OBSERVED}


REFUSED = [
    pytest.param({"TWIN_CYCEL_S": "60"}, "TWIN_CYCEL_S", id="a typing error in the name"),
    pytest.param({"TWIN_CYCLE_S": "soon"}, "TWIN_CYCLE_S", id="no number"),
    pytest.param({"TWIN_TIMEZONE": "Porto"}, "Porto", id="no zone"),
    pytest.param({"TWIN_NOTICE_AUTO_PUBLISH": "everything"}, "TWIN_NOTICE_AUTO_PUBLISH", id="unknown kind"),
    pytest.param({"TWIN_INFLUX_URL": "http://127.0.0.1:1"}, "TWIN_INFLUX_TOKEN", id="InfluxDB without its token"),
    pytest.param(
        {"TWIN_INFLUX_URL": "http://127.0.0.1:1", "TWIN_INFLUX_TOKEN": "my-super-secret-token"},
        "everybody knows",
        id="a token from the documentation",
    ),
    *(
        pytest.param(
            {"TWIN_INFLUX_URL": "http://127.0.0.1:1", "TWIN_INFLUX_TOKEN": "one-of-our-own", name: "30"},
            f"{name} is for the embedded store",
            id=f"InfluxDB with {name}",
        )
        for name in ("TWIN_SEAL_AFTER_DAYS", "TWIN_KEEP_READINGS_DAYS", "TWIN_KEEP_ROLLUPS_1H_DAYS")
    ),
    pytest.param({"TWIN_INGEST_SHARE": "g"}, "needs TWIN_MQTT_URL", id="a group at the embedded broker"),
    pytest.param(
        {"TWIN_INGEST_SHARE": "g", "TWIN_MQTT_URL": "mqtt://broker"},
        "needs TWIN_MQTT_CLIENT_ID",
        id="a group whose members have one id",
    ),
    pytest.param({"TWIN_MQTT_URL": "mqtt://h2twin:changeme@broker"}, "everybody knows", id="a known broker password"),
    pytest.param(
        {"TWIN_DATABASE_URL": "postgresql+psycopg://a:Password@db/x"}, "everybody knows", id="a known database password"
    ),
    pytest.param({"TWIN_WEATHER": "open_meteo"}, "TWIN_WEATHER_LATITUDE", id="weather for nowhere"),
    pytest.param(
        {"TWIN_WEATHER": "met_norway", "TWIN_WEATHER_LATITUDE": "41", "TWIN_WEATHER_LONGITUDE": "-8"},
        "TWIN_WEATHER_USER_AGENT",
        id="MET Norway wants to know who asks",
    ),
    pytest.param({"TWIN_WEATHER": "files"}, "TWIN_WEATHER_FILES", id="files from nowhere"),
    *(
        pytest.param({"TWIN_NOTICE_SENDER": sender}, "TWIN_NOTICE_SENDER.*no blanks, commas", id=f"by {sender!r}")
        for sender in ("Aguas do Porto", "a,b", "a<b", "a&b", "a\tb", "\x01")
    ),
    *(
        pytest.param({"TWIN_PUBLIC_URL": url}, "TWIN_PUBLIC_URL.*http", id=f"at {url!r}")
        for url in ("water.example.org", "ftp://a.org", "https://", "https://a.org/?x=1", "https://a.org#x",
                    "https://a b.org", "https://a.org:port", "javascript:alert(1)")
    ),
    *(
        pytest.param({"TWIN_DASK_SCHEDULER": url}, "TWIN_DASK_SCHEDULER.*tls://host:port", id=f"scheduler {url!r}")
        for url in ("dask:8786", "tcp://dask", "tls://dask:0", "https://dask:8786", "tls://dask:8786/x", "tls://a@d:1",
                    "tls://dask:port", "tls://:8786", "tcp://[::1:8786")
    ),
    *(
        pytest.param({"TWIN_DASK_SCHEDULER": url}, "can run any code.*TWIN_DASK_UNENCRYPTED", id=f"open to all, {url}")
        for url in ("tcp://dask:8786", "tcp://10.0.0.7:8786", "tcp://localhost.example.org:8786", "tcp://[fd00::1]:8786")
    ),
    pytest.param(
        {"TWIN_NOTICE_AUTO_PUBLISH": "outage_observed", "TWIN_PUBLIC_URL": "https://a.org"},
        "TWIN_NOTICE_SENDER",
        id="publishing by rule as nobody",
    ),
    pytest.param(
        {"TWIN_NOTICE_AUTO_PUBLISH": "outage_observed", "TWIN_NOTICE_SENDER": "water@example.org"},
        "TWIN_PUBLIC_URL",
        id="publishing by rule with links to nowhere",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "named"), REFUSED)
def test_refuses_by_name(environment: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=named):
        load_settings()


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://water.example.org/twin/", "https://[::1]:8443"])
def test_addresses_of_the_public_pages(url: str) -> None:
    assert load_settings(public_url=url).public_url == url


@pytest.mark.parametrize("url", ["tls://dask:8786", "tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tcp://localhost:1"])
def test_schedulers_that_only_those_who_may_can_reach(url: str) -> None:
    assert load_settings(dask_scheduler=url).dask_scheduler == url
    elsewhere = "tcp://dask:8786"
    assert load_settings(dask_scheduler=elsewhere, dask_unencrypted=True).dask_scheduler == elsewhere


def test_an_empty_value_is_one_that_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = load_settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"TWIN_{name.upper()}", "")
    assert load_settings() == defaults


def test_a_typing_error_in_a_name_is_refused_even_without_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_CYCEL_S", "")
    with pytest.raises(ConfigError, match="TWIN_CYCEL_S"):
        load_settings()


def test_no_secret_is_ever_printed() -> None:
    settings = load_settings(mqtt_url="mqtt://h2twin:Zx81-Zx81@broker", influx_url="http://i", influx_token="Zx81-Zx81")
    assert "Zx81-Zx81" not in repr(settings) + str(settings)


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
