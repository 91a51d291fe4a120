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
]


@pytest.mark.parametrize(("environment", "named"), REFUSED)
def test_refuses_by_name(environment: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=named):
        load_settings()


def test_no_secret_is_ever_printed() -> None:
    settings = load_settings(mqtt_url="mqtt://h2twin:Zx81-Zx81@broker", influx_url="http://i", influx_token="Zx81-Zx81")
    assert "Zx81-Zx81" not in repr(settings) + str(settings)


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
