"""One run of the drainage model: what it is made from, and whether its result may be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from models.drainage.engine import EngineJob, EngineRun
from models.drainage.model_file import DrainageModelFile
from models.drainage.runfile import run_text
from models.rainfall import RainSeries, area_mean_mm
from twin.errors import ModelError

MAX_CONTINUITY_ERROR_PCT = 5.0
JUDGED_BY_CONTINUITY_AFTER_S = 24 * 3600
RAIN_TOLERANCE = 0.001
_DRY_MM = 1e-6


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run from `start` to `end` (whole seconds) under `rain` per gage, warm if it has a `hotstart`."""

    model: DrainageModelFile
    start: datetime
    end: datetime
    rain: Mapping[str, RainSeries]
    hotstart: bytes | None
    save_state: bool = False

    @property
    def duration_s(self) -> float:
        """The length of the run."""
        return (self.end - self.start).total_seconds()

    @property
    def rain_mm(self) -> float:
        """The rain that falls within the run: the mean over the subcatchments' areas."""
        return area_mean_mm(self.rain, self.model.area_of_gage, self.model.total_area, self.start, self.end)

    def job(self) -> EngineJob:
        """Return the work for the engine."""
        return EngineJob(
            inp_text=run_text(self.model, self.start, self.end, self.rain),
            flow_units=self.model.units.flow_units,
            duration_s=self.duration_s,
            node_ids=tuple(self.model.network.nodes),
            has_links=bool(self.model.network.links),
            ponded_nodes=self.model.ponded_nodes,
            hotstart=self.hotstart,
            save_state=self.save_state,
        )


def believed(plan: RunPlan, run: EngineRun) -> tuple[str, ...]:
    """Return warnings about a run whose result may be used.

    Continuity judges only cold runs of a day or more: in shorter or warm ones the error is a share of little water
    (correct warm runs show -18 %).

    Raises:
        ModelError: If a value is not finite, rain got lost or was invented, or a long cold run lost its water.
    """
    _check_finite(plan, run)
    _check_rain(plan.rain_mm, run.rain_delivered_mm)
    warnings = []
    for name, error_pct in (
        ("flow routing", run.continuity_error_pct),
        ("runoff", run.runoff_continuity_error_pct),
    ):
        if abs(error_pct) <= MAX_CONTINUITY_ERROR_PCT:
            continue
        if plan.hotstart is None and plan.duration_s >= JUDGED_BY_CONTINUITY_AFTER_S:
            raise ModelError(
                f"the {name} continuity error is {error_pct:.1f} %, beyond {MAX_CONTINUITY_ERROR_PCT:g} %: "
                "the result is not believed; shorten the model's routing step or mend its conduits"
            )
        kind = "short" if plan.hotstart is None else "warm"
        warnings.append(f"{name} continuity error {error_pct:.1f} % (a {kind} run: stated, not judged)")
    return tuple(warnings)


def _check_finite(plan: RunPlan, run: EngineRun) -> None:
    for node_id, node in zip(plan.model.network.nodes, run.nodes, strict=True):
        if not math.isfinite(node.max_depth_m + node.final_depth_m + node.flooded_m3 + node.flooded_h):
            raise ModelError(f"the engine gave a value at node {node_id} that is no number: the run became unstable")
    if not math.isfinite(run.continuity_error_pct + run.runoff_continuity_error_pct):
        raise ModelError("the engine's continuity error is no number: the run became unstable")


def _check_rain(rain_in_mm: float, delivered_mm: float) -> None:
    if abs(rain_in_mm - delivered_mm) > RAIN_TOLERANCE * max(rain_in_mm, delivered_mm) + _DRY_MM:
        raise ModelError(
            f"{rain_in_mm:.4f} mm of rain went in and {delivered_mm:.4f} mm fell in the engine "
            f"(tolerance {RAIN_TOLERANCE:.1%}): the result is not believed"
        )
