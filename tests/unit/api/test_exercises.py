"""An exercise never touches what is real."""

from pathlib import Path

import pytest

from api.bootstrap import apart, is_exercise, refuse_exercise
from api.settings import load_settings
from twin.errors import ConfigError


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A city's settings in the environment, as an operator's shell has them."""
    monkeypatch.setenv("TWIN_DATA_DIR", str(tmp_path / "live"))
    monkeypatch.setenv("TWIN_DATABASE_URL", "postgresql+psycopg://h2twin:Zx81-Zx81@127.0.0.1/h2twin")
    monkeypatch.setenv("TWIN_INFLUX_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TWIN_INFLUX_TOKEN", "Zx81-Zx81")
    monkeypatch.setenv("TWIN_MQTT_URL", "mqtt://h2twin:Zx81-Zx81@127.0.0.1")
    return tmp_path / "live"


@pytest.mark.usefixtures("live")
def test_an_exercise_knows_neither_the_city_s_stores_nor_its_broker(tmp_path: Path) -> None:
    own = apart(load_settings(), tmp_path / "exercise")
    assert (own.database_url, own.influx_url, own.mqtt_url) == (None, None, None)
    assert own.data_dir == tmp_path / "exercise"
    assert is_exercise(own.data_dir)


@pytest.mark.usefixtures("live")
def test_only_a_broker_named_on_the_command_line_is_used(tmp_path: Path) -> None:
    own = apart(load_settings(), tmp_path / "exercise", mqtt_url="mqtt://127.0.0.1:1999")
    assert own.mqtt_url is not None
    assert own.mqtt_url.get_secret_value() == "mqtt://127.0.0.1:1999"


def test_a_folder_with_live_data_is_refused_and_left_alone(live: Path) -> None:
    live.mkdir()
    (live / "registry.db").touch()
    with pytest.raises(ConfigError, match="live data"):
        apart(load_settings(), live)
    assert sorted(path.name for path in live.iterdir()) == ["registry.db"]


@pytest.mark.usefixtures("live")
def test_no_service_starts_where_a_demo_ended(tmp_path: Path) -> None:
    own = apart(load_settings(), tmp_path / "exercise")
    with pytest.raises(ConfigError, match="demo or a replay"):
        refuse_exercise(own)
