"""From caught messages to proposed sources: whole branches first, then groups of topics, then any JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ingest.mappings import native_sources
from ingest.message import Message
from ingest.sniff import json_guess
from ingest.sniff.proposal import Proposal, Unread
from ingest.sniff.templates import common_filter, group, with_device
from ingest.sniff.trying import Trial, accepted, attempt, is_known_and_empty, proposed, try_all

JSON_DECODER = "json_path"
"""The decoder that is told by options what to read."""

Tell = Callable[[str], None]


def propose(messages: Iterable[Message], tell: Tell = lambda _: None) -> tuple[list[Proposal], list[Unread]]:
    """Return sources that read the messages, and the topics that none reads; `tell` hears what is looked at.

    Topics of h2twin's own format need no source and are left out, as is what begins with `$`.
    """
    branches: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        if not message.topic.startswith("$") and not is_native(message.topic):
            branches[message.topic.split("/")[0]].append(message)
    proposals: list[Proposal] = []
    unread: list[Unread] = []
    for branch in sorted(branches):
        tell(branch)
        whole = _whole_branch(branches[branch])
        for found in _groups(branches[branch]) if whole is None else [whole]:
            (proposals if isinstance(found, Proposal) else unread).append(found)  # type: ignore[arg-type]
    return proposals, unread


def is_native(topic: str) -> bool:
    """Whether h2twin reads the topic without being told to."""
    return any(source.template.match(topic) is not None for source in native_sources())


def _whole_branch(messages: Sequence[Message]) -> Proposal | Unread | None:
    """Return what becomes of a whole branch of topics, where one format is all that is in it."""
    trials = try_all(common_filter([message.topic for message in messages]), messages)
    best = next(iter(trials), None)
    if best is not None and accepted(best, messages):
        return proposed(best, messages)
    if best is not None and best.recognised == len(messages):
        return Unread(
            best.topic, len({message.topic for message in messages}), len(messages), _why(trials, is_json=False)
        )
    return None


def _groups(messages: Sequence[Message]) -> list[Proposal | Unread]:
    groups = _by_template(messages)
    found: dict[str, Proposal | Unread] = {}
    for template in sorted(groups):
        if template not in found:
            found[template] = _one_group(template, groups[template])
    return list(found.values())


def _by_template(messages: Sequence[Message]) -> dict[str, list[Message]]:
    """Group messages; JSON that names no sender gets a named level, so that the topic does."""
    template_of = {
        topic: template for template, topics in group(message.topic for message in messages).items() for topic in topics
    }
    groups: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        groups[template_of[message.topic]].append(message)
    final: dict[str, list[Message]] = defaultdict(list)
    for template, those in groups.items():
        read = json_guess.guess(those, template=template)
        final[with_device(template) if read is not None and read.needs_level else template] += those
    return final


def _one_group(template: str, messages: Sequence[Message]) -> Proposal | Unread:
    trials = try_all(template, messages)
    best = trials[0] if trials else None
    if best is not None and accepted(best, messages):
        return proposed(best, messages)
    if best is not None and is_known_and_empty(best, messages):
        return Unread(template, len({m.topic for m in messages}), len(messages), _why(trials, is_json=False))
    read = json_guess.guess(messages, template=template)
    if read is not None:
        trial = attempt(JSON_DECODER, template, read.options, messages)
        if trial is not None and accepted(trial, messages):
            return proposed(trial, messages, options=read.options, doubts=read.doubts)
    why = _why(trials, is_json=json_guess.is_json(messages))
    return Unread(template, len({message.topic for message in messages}), len(messages), why)


def _why(trials: Sequence[Trial], *, is_json: bool) -> str:
    recognised = next((trial for trial in trials if trial.recognised), None)
    if recognised is not None:
        return f"{recognised.decoder}: {recognised.complaint or 'it holds no values'}"
    if is_json:
        return "its JSON holds no number that could be a reading"
    return "no decoder reads it; a plain value without JSON, or a format that h2twin does not know"
