"""What a model's own simple controls call for, at given tank levels and at a given time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.supply.facts import DAY_S, WEEK_S, Control, ControlKind


@dataclass(frozen=True, slots=True)
class Call:
    """What a control calls for, and why in words."""

    opens: bool
    because: str
    tank_id: str = ""


def level_call(controls: Iterable[Control], level_m: Mapping[str, float]) -> Call | None:
    """Return what the level controls of one link call for; like EPANET, the last one that applies counts."""
    call = None
    for control in controls:
        level = level_m.get(control.node_id)
        if level is None:
            continue
        if control.kind is ControlKind.BELOW and level <= control.level_m:
            call = Call(
                control.opens,
                f"{control.node_id} stands at {level:.2f} m, below {control.level_m:.2f} m",
                control.node_id,
            )
        elif control.kind is ControlKind.ABOVE and level >= control.level_m:
            call = Call(
                control.opens,
                f"{control.node_id} stands at {level:.2f} m, above {control.level_m:.2f} m",
                control.node_id,
            )
    return call


def time_call(controls: Iterable[Control], model_time_s: int, start_clock_s: int, cycle_s: int) -> Call | None:
    """Return what the time controls of one link called for last: they repeat daily, or with the given cycle."""
    latest: tuple[int, Call] | None = None
    for control in controls:
        if control.kind is ControlKind.AT_CLOCKTIME:
            ago = (model_time_s + start_clock_s - control.at_s) % DAY_S
        elif control.kind is ControlKind.AT_TIME:
            ago = (model_time_s - control.at_s) % cycle_s
        else:
            continue
        if latest is None or ago <= latest[0]:
            latest = ago, Call(control.opens, f"its time control acted {ago // 60} min ago")
    return latest[1] if latest else None


def timer_cycle_s(controls: Iterable[Control]) -> int:
    """Return after how long AT TIME controls repeat: a day if all of them lie within the first day, else a week."""
    times = [control.at_s for control in controls if control.kind is ControlKind.AT_TIME]
    return DAY_S if all(at_s < DAY_S for at_s in times) else WEEK_S
