"""`h2twin ingest`: look at what a broker carries before telling h2twin to read it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import DataDir, Json, print_json, say

if TYPE_CHECKING:
    from ingest.sniff.catch import Catch
    from ingest.sniff.report import Report

app = typer.Typer(help="Look at what comes in.", no_args_is_help=True)


@app.callback()
def _verbs() -> None:
    """Keep `sniff` a verb of its own while it is the only one."""


@app.command("sniff")
def sniff(
    mqtt_url: Annotated[
        str | None, typer.Option(help="Broker, mqtt[s]://user:password@host:port [default: TWIN_MQTT_URL].")
    ] = None,
    topic: Annotated[str, typer.Option(help="Topic filter to listen on.")] = "#",
    seconds: Annotated[float, typer.Option(min=0.5, max=86400, help="How long to listen.")] = 30.0,
    out: Annotated[Path | None, typer.Option(help="Write the mapping to this file (it must not exist yet).")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Listen, guess the payload formats, and print a mappings file that reads what was heard.

    Nobody's session is touched: the listener has an id of its own and acknowledges nothing.
    """
    from api.bootstrap import broker_url
    from api.settings import load_settings
    from ingest.sniff.listening import listen
    from ingest.sniff.report import report_on
    from twin.clock import SystemClock
    from twin.errors import InputError

    if out is not None and out.exists():
        raise InputError(f"{out} is there already; name another file, or move it away")
    url = mqtt_url or broker_url(load_settings(data_dir=data_dir))
    with _progress(seconds, f"listening on {topic}") as progress:
        caught = listen(url, topic, seconds=seconds, clock=SystemClock(), progress=progress)
    report = report_on(caught)
    if out is not None and report.proposals:
        _write(out, report.toml)
    if json:
        print_json(_document(report, out))
        return
    if report.caught == 0:
        say(_why_empty(topic, seconds))
        return
    if out is None:
        sys.stdout.write(report.toml)
        sys.stdout.flush()
    say(_summary(report))
    if out is not None and report.proposals:
        say(f"Written to {out}: check it, import the sensors it names, then set TWIN_MAPPINGS={out}")


@contextmanager
def _progress(seconds: float, what: str) -> Iterator[Callable[[float, Catch], None]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _passed, _caught: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[heard]}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=seconds, heard="")
        yield lambda passed, caught: bar.update(
            task, completed=passed, heard=f"{caught.messages} messages on {caught.topics} topics"
        )


def _write(path: Path, text: str) -> None:
    from twin.errors import ConfigError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _document(report: Report, out: Path | None) -> dict[str, object]:
    return {
        "messages": report.messages,
        "topics": report.topics,
        "caught": report.caught,
        "native": report.native,
        "read": report.read,
        "readings": report.readings,
        "sources": [
            {
                "topic": one.topic,
                "decoder": one.decoder,
                "topics": one.topics,
                "messages": one.messages,
                "readable": one.readable,
                "values": [
                    {"name": seen.name, "value": seen.value, "unit": seen.unit, "times": seen.times}
                    for seen in one.seen.values()
                ],
                "doubts": list(one.doubts),
            }
            for one in report.proposals
        ],
        "not_read": [
            {"topic": one.topic, "topics": one.topics, "messages": one.messages, "why": one.why}
            for one in report.unread
        ],
        "toml": report.toml,
        "written_to": str(out) if out is not None and report.proposals else None,
    }


def _summary(report: Report) -> str:
    words = [
        f"{report.messages} messages on {report.topics} topics; {report.caught} of them kept and looked at.",
        f"The proposed mapping reads {report.read} of {report.caught - report.native} that need one.",
    ]
    if report.native:
        words.append(f"{report.native} are in h2twin's own format and need no mapping.")
    if report.unread:
        words.append(f"{len(report.unread)} groups of topics are not read; the comments say why.")
    return " ".join(words)


def _why_empty(topic: str, seconds: float) -> str:
    return (
        f"Nothing came on {topic} within {seconds:g} s. Check: does anybody publish now (meters often send once in "
        "15 minutes: listen longer with --seconds)? Does the filter cover their topics (--topic)? May our user read "
        "them (the broker's ACL refuses silently)? Is it the right broker (--mqtt-url)?"
    )
