"""A scenario's answer beside that of the base run: who gains, who loses, what tanks and pumps do differently."""

from __future__ import annotations

from typing import Any

_NOTHING_M3 = 0.001
_NOTHING_SHARE = 0.001
_LIKELIER_BY = 0.05

Answer = dict[str, Any]


def compared(answer: Answer, base: Answer) -> Answer:
    """Return `{losers, gainers, newly_short, no_longer_short, likelier, tanks, energy_kwh_change}`.

    A junction loses (gains) if the share of its demand that it gets falls (rises) by more than a thousandth, and the
    volume by more than a litre. Losers and gainers come with the largest change first. `likelier` are the junctions
    that run short in more members than before (by a twentieth of them at least), None without members.
    """
    changes = []
    for name, now in answer["junctions"].items():
        before = base["junctions"][name]
        by_m3 = (_share(now) - _share(before)) * now["demand_m3"]
        if abs(by_m3) > _NOTHING_M3 and abs(_share(now) - _share(before)) > _NOTHING_SHARE:
            changes.append({"id": name, "share": _share(now), "base_share": _share(before), "change_m3": by_m3})
    short, short_before = set(answer["junctions_short"]), set(base["junctions_short"])
    return {
        "losers": sorted((c for c in changes if c["change_m3"] < 0), key=lambda c: (c["change_m3"], c["id"])),
        "gainers": sorted((c for c in changes if c["change_m3"] > 0), key=lambda c: (-c["change_m3"], c["id"])),
        "newly_short": [name for name in answer["junctions_short"] if name not in short_before],
        "no_longer_short": [name for name in base["junctions_short"] if name not in short],
        "likelier": _likelier(answer.get("ensemble", {}), base.get("ensemble", {})),
        "tanks": {name: _tank(now, base["tanks"][name]) for name, now in answer["tanks"].items()},
        "energy_kwh_change": answer["energy_kwh"] - base["energy_kwh"],
    }


def _likelier(now: Answer, before: Answer) -> list[Answer] | None:
    if "junctions_short" not in now or "junctions_short" not in before:
        return None
    changes = [
        {
            "id": name,
            "probability": found["probability"],
            "base_probability": before["junctions_short"].get(name, {"probability": 0.0})["probability"],
        }
        for name, found in now["junctions_short"].items()
    ]
    likelier = [one for one in changes if one["probability"] - one["base_probability"] >= _LIKELIER_BY - 1e-9]
    return sorted(likelier, key=lambda one: (one["base_probability"] - one["probability"], one["id"]))


def _share(junction: Answer) -> float:
    """Return how much of what was wanted came; all of nothing is all."""
    wanted: float = junction["demand_m3"]
    return float(junction["delivered_m3"]) / wanted if wanted > 0 else 1.0


def _tank(now: Answer, before: Answer) -> Answer:
    return {
        "end_level_change_m": now["end_level_m"] - before["end_level_m"],
        "lowest_level_change_m": now["lowest_level_m"] - before["lowest_level_m"],
        "newly_empty": now["empty_at_h"] is not None and before["empty_at_h"] is None,
        "newly_full": now["full_at_h"] is not None and before["full_at_h"] is None,
    }
