"""Quality checks: each asks one question of a stream of readings; the gate turns the answers into flags.

A check flags; it never drops a reading and never touches its value. The checks see what a sensor says, not what the
model expects: they catch broken instruments and clocks, and must let every state of the network through that water
can really be in. A flag hides a reading from models and KPIs, so a doubtful check is worse than none.
"""

from ingest.quality.gate import QualityGate
from ingest.quality.limits import QualityLimits

__all__ = ["QualityGate", "QualityLimits"]
