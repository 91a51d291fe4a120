"""A service that issues one single forecast warns of floods: its answer, the ladder, the engine, the finding."""

from __future__ import annotations

from datetime import datetime, timedelta

from data.drainage.small_models import HOUR, T0, one_street

from ingest.weather.dressing import FEWEST_MEMBERS
from ingest.weather.ladder import WeatherLadder
from models.drainage.ensemble import MIN_MEMBERS
from models.drainage.model import SwmmDrainage
from models.pool import EnginePool
from twin.findings import findings_from_drainage
from twin.forecasts import Rung, RunStatus, WeatherEnsemble, WeatherMember
from twin.incidents import IncidentKind
from twin.ports import ObservedRain


class OneForecast:
    """A deterministic service: one storm of two hours, three hours ahead."""

    name = "one forecast"

    def __init__(self, storm_mm: float) -> None:
        self._rain = (0.0,) * 4 + (storm_mm,) * 2 + (0.0,) * 18

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        members = (WeatherMember("0", self._rain),)
        return WeatherEnsemble("one forecast", T0, T0, "*", T0, 3600, members)


class Archive:
    """Keeps nothing."""

    def save_weather(self, ensemble: WeatherEnsemble) -> None:
        """Forget it."""

    def latest_weather(self, *, known_at: datetime, gage_id: str | None = None) -> WeatherEnsemble | None:
        """Return nothing."""


def test_one_forecast_of_a_storm_opens_a_flood_and_one_of_fair_weather_does_not() -> None:
    now = T0 + HOUR
    found = {}
    with EnginePool(2) as pool:
        model = SwmmDrainage(one_street(), pool, model_id="street")
        state = model.update(None, start=T0, end=now, rain=[ObservedRain("*", T0, 3600, (0.0,))])
        for storm_mm in (60.0, 0.0):
            weather = WeatherLadder([(Rung.DETERMINISTIC, OneForecast(storm_mm))], Archive()).fetch(now=now)
            forecast = model.forecast(state, weather, run_id="r", horizon_s=12 * 3600)
            assert forecast.status is RunStatus.OK
            assert forecast.provenance.weather_rung is Rung.DETERMINISTIC
            assert forecast.provenance.weather_source == "one forecast (dressed)"
            found[storm_mm] = findings_from_drainage(forecast, now=now)
    assert found[0.0] == []
    (flood,) = found[60.0]
    assert flood.kind is IncidentKind.FLOOD_PREDICTED
    assert flood.opens
    assert flood.starts_at is not None
    assert abs(flood.starts_at - (T0 + 4 * HOUR)) <= timedelta(hours=1)


def test_what_the_ladder_takes_for_too_few_is_what_the_model_takes_for_too_few() -> None:
    assert FEWEST_MEMBERS == MIN_MEMBERS
