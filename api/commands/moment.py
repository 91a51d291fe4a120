"""What time it is for a data folder: an exercise's clock stopped where its demo or replay ended."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.bootstrap import Offline


def now_of(here: Offline) -> datetime:
    """Return now, or in the folder of an exercise the moment of its newest run."""
    from api.bootstrap import is_exercise
    from twin.forecasts import RunKind

    now = here.clock.now()
    if not is_exercise(here.settings.data_dir):
        return now
    newest = [here.registry.latest_run(kind, good_only=False) for kind in RunKind]
    return max((run.issued_at for run in newest if run is not None), default=now)
