"""Try a decoder on messages: how many it can read, and which values they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest.decoders.base import AllNames, Decoder, SourceOptions, UndecodableError
from ingest.decoders.catalog import decoder_named, decoder_names
from ingest.message import Message
from ingest.sniff.identity import doubts_of, tied_to_topic
from ingest.sniff.proposal import Proposal, Seen
from ingest.topics import TopicTemplate
from twin.errors import ConfigError

ENOUGH = 0.5
"""A decoder that can read this share of the messages, and finds a value, is taken."""


@dataclass(slots=True)
class Trial:
    """What came of one decoder. `recognised` counts messages it knows for its own, readable or not."""

    decoder: str
    topic: str
    readable: int = 0
    recognised: int = 0
    refused: int = 0
    seen: dict[str, Seen] = field(default_factory=dict)
    complaint: str = ""

    @property
    def rank(self) -> tuple[int, int, int]:
        """The greater the better."""
        return (self.recognised, len(self.seen), -self.refused)


def try_all(topic: str, messages: Sequence[Message]) -> list[Trial]:
    """Return a trial of every decoder that needs no options, best first."""
    trials = [attempt(name, topic, {}, messages) for name in decoder_names()]
    return sorted((trial for trial in trials if trial is not None), key=lambda trial: trial.rank, reverse=True)


def attempt(name: str, topic: str, options: Mapping[str, object], messages: Sequence[Message]) -> Trial | None:
    """Try one decoder, asked to read every name; None where it cannot be made for such a source."""
    decoder = _made(name, topic, options)
    if decoder is None:
        return None
    trial = Trial(name, topic)
    for message in messages:
        _feed(decoder, message, trial)
    return trial


def accepted(trial: Trial, messages: Sequence[Message]) -> bool:
    """Whether the trial is good enough to be proposed."""
    return bool(trial.seen) and trial.recognised >= ENOUGH * len(messages)


def is_known_and_empty(trial: Trial, messages: Sequence[Message]) -> bool:
    """Whether the messages are of the decoder's format and yet hold no values: nobody else must guess any."""
    return not trial.seen and trial.recognised >= ENOUGH * len(messages)


def proposed(trial: Trial, messages: Sequence[Message], **more: object) -> Proposal:
    """Return the source that a trial stands for."""
    topics = len({message.topic for message in messages})
    tied = tied_to_topic(trial.decoder, trial.topic, messages)
    more.setdefault("doubts", doubts_of(trial.decoder, tied))
    return Proposal(tied, trial.decoder, trial.seen, topics, len(messages), trial.readable, **more)  # type: ignore[arg-type]


def _made(name: str, topic: str, options: Mapping[str, object]) -> Decoder | None:
    try:
        return decoder_named(name)(SourceOptions(TopicTemplate.parse(topic), AllNames(), options=options))
    except ConfigError:
        return None
    except Exception:  # a decoder of another package may raise anything; then it is none for these messages
        return None


def _feed(decoder: Decoder, message: Message, trial: Trial) -> None:
    try:
        decoded = decoder.decode(message.topic, message.payload, message.received_at)
    except UndecodableError as error:
        is_its_own = error.is_own_format or bool(error.commands)  # it knows the sender well enough to answer
        trial.recognised += is_its_own
        if is_its_own or not trial.complaint:
            trial.complaint = str(error)
        return
    except Exception as error:  # see above
        trial.complaint = trial.complaint or f"{type(error).__name__}: {error}"
        return
    if not decoded.readings and not decoded.refused and not decoded.is_news:
        return
    trial.readable += 1
    trial.recognised += 1
    trial.refused += len(decoded.refused)
    for raw in decoded.readings:
        known = trial.seen.get(raw.name)
        if known is None:
            trial.seen[raw.name] = Seen(raw.name, raw.value, raw.unit)
        else:
            known.value, known.unit, known.times = raw.value, raw.unit or known.unit, known.times + 1
