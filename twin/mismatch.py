"""What residuals say is different between the network and its model: a link's status, or a leak.

A status comes before a leak: closed valves are forgotten more often than mains burst, and who looks for a leak in the
wrong place digs. But nothing is named that residuals do not tell apart from the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LEAK, LESS = "leak", "less"


class Verdict(StrEnum):
    """How far a mismatch could be told."""

    NOTHING = "nothing"  # no sensor is further off than it may be
    STATUS = "status"  # one link (or links that no sensor tells apart) is open or closed, unlike in the model
    LEAK = "leak"  # water is lost near a node; no status explains it as well
    LESS = "less"  # less water is drawn near a node than usual: a leak ended, or a consumer rests
    AMBIGUOUS = "ambiguous"  # several explanations are about as good: none is named
    UNEXPLAINED = "unexplained"  # something is off, and no single status or leak explains it


@dataclass(frozen=True, slots=True)
class Candidate:
    """One explanation: `what` is closed, open, fully open, leak or less.

    `explains` is the share of the residuals' squares that it takes away, `left` the sum of squares that remains, in
    standard deviations and as the mean of the moments. `leak_m3s` is the mean loss of a leak, or how much less is
    drawn.
    """

    what: str
    element_id: str
    explains: float
    left: float
    leak_m3s: float = 0.0

    @property
    def is_of_water(self) -> bool:
        """Whether it is water drawn, not a link's status."""
        return self.what in (LEAK, LESS)

    @property
    def words(self) -> str:
        """The candidate for a person."""
        if self.what == LESS:
            return f"{self.leak_m3s * 1000:.1f} L/s less drawn near {self.element_id}"
        if self.what == LEAK:
            return f"a leak of {self.leak_m3s * 1000:.1f} L/s near {self.element_id}"
        return f"{self.element_id} {self.what}"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What the residuals of `moments` moments say. `named` is the candidate of a verdict of status or leak.

    `same_as` are links that would show in the same way at every sensor. `candidates` are the best ones, statuses before
    leaks where they are equally good. `off` names the sensors' elements that are further off than they may be, with
    their mean residual (observed minus model, m or m3/s).
    """

    verdict: Verdict
    moments: int
    off: tuple[tuple[str, float], ...] = ()
    named: Candidate | None = None
    same_as: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    tried: int = 0
    untried: int = 0

    @property
    def words(self) -> str:
        """The verdict for a person."""
        if self.verdict is Verdict.NOTHING:
            return "residuals are within what the model may be off"
        sensors = ", ".join(element for element, _ in self.off[:5]) + (", ..." if len(self.off) > 5 else "")
        if self.named is None:
            listed = "; ".join(candidate.words for candidate in self.candidates[:5])
            end = (
                f"it could be: {listed}"
                if self.verdict is Verdict.AMBIGUOUS
                else "no single status or leak explains it"
            )
            return f"the network differs from its model at {sensors}: {end}"
        same = f" (or {', '.join(self.same_as[:5])}: residuals do not tell them apart)" if self.same_as else ""
        model = "" if self.named.is_of_water else ", unlike in the model"
        share = f"explains {self.named.explains:.0%} of what is off at {sensors}"
        return f"{self.named.words}{same}{model}: that {share}"
