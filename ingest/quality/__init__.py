"""Quality checks: each asks one question of a sensor's readings; the gate turns the answers into flags.

A check flags; it never drops a reading and never touches its value. The checks see what a sensor says, not what the
model expects: they catch broken instruments and clocks, and must let every state of the network through that water
can really be in. A flag hides a reading from models and KPIs, so a doubtful check is worse than none.

Verdicts follow the order of observed time: `judge_in_order` says what the final ones are, the gate is their quick form
for readings that come in order, and `Rejudge` mends the rest.
"""

from ingest.quality.gate import QualityGate
from ingest.quality.in_order import judge_in_order
from ingest.quality.limits import QualityLimits
from ingest.quality.rejudge import Rejudge

__all__ = ["QualityGate", "QualityLimits", "Rejudge", "judge_in_order"]
