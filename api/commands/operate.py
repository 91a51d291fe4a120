"""`h2twin serve`, `doctor`, `kpis` and `settings`: run the service and look after it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import DataDir, Json, plain, print_json, print_table, say

if TYPE_CHECKING:
    from contextlib import ExitStack

    from api.settings import Settings

ROLES = ("all", "ingest", "cycle", "api")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
    role: Annotated[str, typer.Option(help="all, or one of ingest, cycle and api.")] = "all",
    mqtt_url: Annotated[str | None, typer.Option("--mqtt-url", help="Broker [default: TWIN_MQTT_URL].")] = None,
    data_dir: DataDir = None,
) -> None:
    """Run the service until Ctrl-C; a second one ends it at once."""
    from contextlib import ExitStack

    from api.bootstrap import refuse_exercise
    from api.commands.demo import stop_on_signals
    from api.logs import configure_logs
    from api.settings import load_settings
    from twin.errors import ConfigError

    if role not in ROLES:
        raise ConfigError(f"unknown role {role!r}; roles are {', '.join(ROLES)}")
    settings = load_settings(data_dir=data_dir, mqtt_url=mqtt_url)
    refuse_exercise(settings)
    configure_logs(settings.log_level)
    end = stop_on_signals()
    with ExitStack() as stack:
        _start(role, settings, host, port, stack)
        say(f"h2twin is running ({role}); data in {settings.data_dir}. Ctrl-C ends it.")
        end.wait()


def _start(role: str, settings: Settings, host: str, port: int, stack: ExitStack) -> None:
    from api import bootstrap, roles
    from api.home_assistant import home_assistant_of
    from twin.clock import SystemClock
    from twin.trust_report import keep_trust

    listener = None
    if role in ("all", "api"):  # the port first: a taken one must not be found out when forecasts are under way
        listener = roles.listen(host, port)
        stack.callback(listener.close)
        settings = bootstrap.at_address(settings, roles.address_of(listener))
    clock = SystemClock()
    memory = bootstrap.open_memory(settings)
    stack.callback(memory.close)
    pool = stack.enter_context(bootstrap.engine_pool(settings))
    models = bootstrap.Models(memory.registry, pool, zone=settings.model_zone, dask_scheduler=settings.dask_scheduler)
    if role in ("all", "ingest"):
        ingest = roles.IngestRole(settings, memory, clock)
        stack.callback(ingest.stop)
        ingest.start()
        say(f"Broker: {_without_password(ingest.broker_url)}")
        told = home_assistant_of(settings, memory, clock, ingest.broker_url)
        if told is not None:
            stack.callback(told.stop)
            told.start()
    if role in ("all", "cycle"):
        weather = bootstrap.make_weather(settings, memory.registry)
        cycle = roles.CycleRole(
            lambda: bootstrap.make_cycle(settings, memory, models, weather, clock, exercise=False),
            memory.registry,
            clock,
            period_s=settings.cycle_s,
            chore=lambda: keep_trust(memory.readings, memory.registry, now=clock.now()),
        )
        stack.callback(cycle.stop)
        cycle.start()
    if listener is not None:
        from api.app import create_app

        desk = bootstrap.make_scenario_desk(memory, models, clock)
        stack.callback(desk.stop)
        desk.start()
        services = bootstrap.make_services(settings, memory, models, clock, exercise=False, scenarios_asked=desk.wake)
        web = roles.WebRole(create_app(services), listener)
        stack.callback(web.stop)
        web.start()
        say(f"Address: {roles.address_of(listener)}/")
        if all(key.revoked_at is not None for key in memory.registry.keys()):  # noqa: SIM118 - no mapping
            say("There is no API key yet. Make one: h2twin keys create --role operator --name NAME")


def _without_password(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"


def doctor(data_dir: DataDir = None, json: Json = False) -> None:
    """Check everything that the service needs, and say what to do about what is wrong."""
    from api.diagnosis import diagnose
    from api.settings import load_settings
    from twin.errors import UnavailableError

    checks = diagnose(load_settings(data_dir=data_dir))
    if json:
        print_json({"ok": all(check.ok for check in checks), "checks": plain(checks)})
    else:
        rows = [("ok" if check.ok else "WRONG", check.name, check.detail) for check in checks]
        print_table("Doctor", ("", "part", "finding"), rows, empty="")
    wrong = [check.name for check in checks if not check.ok]
    if wrong:
        raise UnavailableError(f"not well: {', '.join(wrong)}")


def alive(
    role: Annotated[str, typer.Option(help="ingest or cycle; the api answers at /healthz.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Say whether a role has left a sign of life lately, for the health checks of containers."""
    from api.diagnosis import sign_of_life
    from api.settings import load_settings
    from twin.clock import SystemClock
    from twin.errors import ConfigError

    if role not in ("ingest", "cycle"):
        raise ConfigError(f"unknown role {role!r}; ingest and cycle leave signs of life")
    beat = sign_of_life(load_settings(data_dir=data_dir), role)
    age_s = (SystemClock().now() - beat.at).total_seconds()
    if json:
        print_json({"role": role, "age_s": age_s, "ok": beat.ok, "detail": beat.detail})
    else:
        typer.echo(f"{role}: {age_s:.0f} s ago, {'well' if beat.ok else beat.detail}")


def kpis(
    days: Annotated[float, typer.Option(min=0.01, max=366, help="Period, ending now.")] = 1.0,
    start: Annotated[str | None, typer.Option("--from", help="Start of the period (ISO 8601 with zone).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the period (ISO 8601 with zone).")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Compute the KPIs of a period, with numerator, denominator and coverage."""
    from api.bootstrap import offline
    from api.commands.moment import now_of
    from twin.clock import parse_time
    from twin.errors import InputError
    from twin.kpi_report import FRESH_CYCLES, kpi_report

    with offline(data_dir) as here:
        now = now_of(here)
        until = parse_time(end) if end else now
        since = parse_time(start) if start else until - timedelta(days=days)
        if since >= until:
            raise InputError(f"the period from {since} to {until} is empty")
        report = kpi_report(
            here.open_readings(),
            here.registry,
            start=since,
            end=until,
            now=now,
            flood_probability=here.settings.flood_probability,
            fresh_for=timedelta(seconds=FRESH_CYCLES * here.settings.cycle_s),
        )
    if json:
        print_json({"items": plain(report), "from": since, "to": until})
        return
    of_all = [k for k in report if not k.subject.startswith("sensor:")]
    rows = [(k.kpi_id.replace("_", " "), k.subject, k.value, k.unit, _percent(k.coverage), k.remark) for k in of_all]
    columns = ("KPI", "of", "value", "unit", "coverage", "remark")
    print_table(f"KPIs from {since:%Y-%m-%d %H:%M}Z to {until:%Y-%m-%d %H:%M}Z", columns, rows, empty="No KPIs.")
    if len(of_all) < len(report):
        say(f"{len(report) - len(of_all)} figures of single sensors are shown with --json.")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def show_settings(json: Json = False) -> None:
    """Show every setting, its value (secrets hidden) and what it is for."""
    from pydantic import SecretStr

    from api.settings import PREFIX, Settings, load_settings

    settings = load_settings()
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = "(set)" if isinstance(value, SecretStr) else value
        if isinstance(shown, frozenset):
            shown = ",".join(sorted(shown))
        rows.append((PREFIX + name.upper(), shown, field.description or ""))
    if json:
        items = [{"name": n, "value": None if v is None else str(v), "description": d} for n, v, d in rows]
        print_json({"items": items})
        return
    print_table("Settings (environment variables)", ("name", "value", "meaning"), rows, empty="")
