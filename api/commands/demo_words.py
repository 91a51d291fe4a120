"""What the demo says at the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.networks.ctown import period
from twin.forecasts import RunStatus

if TYPE_CHECKING:
    from api.demo_plan import DemoPlan
    from twin.cycle import CycleOutcome


def turn_line(outcome: CycleOutcome) -> str:
    """Describe one turn in a line for the terminal."""
    parts = [f"{outcome.now:%Y-%m-%d %H:%M}Z"]
    for run in outcome.runs:
        if run.status is RunStatus.FAILED:
            parts.append(f"{run.kind} FAILED: {run.cause}")
        elif run.supply is not None:
            nodes = {outage.node_id for outage in run.supply.outages}
            ahead_h = (run.supply.valid_at[-1] - run.supply.valid_at[0]).total_seconds() / 3600
            parts.append(f"supply {len(nodes)} junctions short in {ahead_h:.0f} h ({run.wall_s:.2f} s)")
        elif run.drainage is not None:
            members = f"{len(run.drainage.members_done)} members"
            failed = f", {len(run.drainage.members_failed)} failed" if run.drainage.members_failed else ""
            worst = max((node.probability or 0.0 for node in run.drainage.nodes), default=0.0)
            parts.append(f"drainage {members}{failed}, flood probability up to {worst:.0%} ({run.wall_s:.2f} s)")
    parts += [f"opened {i.kind}: {i.cause}" for i in outcome.incidents if i.opened_at == outcome.now]
    parts += [f"closed {i.kind}, open since {i.opened_at:%d %H:%M}Z" for i in outcome.incidents if i.closed_at]
    return " | ".join(parts)


def event_line(plan: DemoPlan) -> str:
    """Say what is injected, so that nobody takes it for a published event."""
    if plan.event == "none":
        return "No event is injected."
    return (
        f"Injected event: all pumps of station {period.TRIP_STATION} trip at {period.TRIP_AT:%Y-%m-%d %H:%M}Z and are "
        f"repaired at {period.REPAIRED_AT:%Y-%m-%d %H:%M}Z. This is not part of the published record."
    )


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Describe the summary for a person."""
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in summary.items() if name != "checks"]
    return lines + [f"{'ok   ' if ok else 'FALSE'} {name.replace('_', ' ')}" for name, ok in summary["checks"].items()]
