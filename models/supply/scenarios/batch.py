"""Scenarios that are asked for together, with the base runs that they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.supply.scenarios.compare import compared
from twin.errors import InputError, ModelError
from twin.scenarios import Scenario, parse_scenario

MOST_SCENARIOS = 1000


@dataclass(frozen=True, slots=True)
class Batch:
    """`bases` are the runs without any action, one for each duration and required pressure; `runs` is all, in order."""

    bases: tuple[Scenario, ...]
    asked: tuple[Scenario, ...]

    @classmethod
    def of(cls, words: Any) -> Batch:
        """Read one scenario or a list of them.

        Raises:
            InputError: Naming the scenario and the place of what is not understood.
        """
        listed = words if isinstance(words, list) else [words]
        if not 1 <= len(listed) <= MOST_SCENARIOS:
            raise InputError(f"give from 1 to {MOST_SCENARIOS} scenarios, not {len(listed)}")
        asked = tuple(_read(number, one) for number, one in enumerate(listed, start=1))
        names = [scenario.name for scenario in asked]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"two scenarios are called {twice[0]!r}")
        return cls(tuple(dict.fromkeys(scenario.base for scenario in asked)), asked)

    @property
    def runs(self) -> tuple[Scenario, ...]:
        """Everything that must be run."""
        return (*self.bases, *self.asked)

    def outcome(self, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return `{base: [...], scenarios: [...]}` from the answers of all runs, each scenario beside its base run.

        Raises:
            ModelError: If the network cannot even be run without any action.
        """
        base_of = dict(zip(self.bases, answers, strict=False))
        for base in base_of.values():
            if "error" in base:
                raise ModelError(f"the network without any action cannot be run: {base['error']}")
        scenarios = [
            answer if "error" in answer else {**answer, "against_base": compared(answer, base_of[scenario.base])}
            for scenario, answer in zip(self.asked, answers[len(self.bases) :], strict=True)
        ]
        return {"base": list(base_of.values()), "scenarios": scenarios}


def _read(number: int, words: Any) -> Scenario:
    try:
        return parse_scenario(words)
    except InputError as error:
        raise InputError(f"scenario {number}: {error}") from None
