"""A step's progress: to whoever watches this process at once, and to the Prefect UI every few seconds."""

from __future__ import annotations

import time
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from synaug_core.names import slug
from synaug_core.progress import Progress
from tasks.progress_bus import Event, publish

__all__ = ["progress"]

_BUS_SECONDS = 0.2
_UI_SECONDS = 10.0


def progress(stage: str, name: str) -> Progress:
    """A `Progress` for one step. Short steps never reach the Prefect API: they would spend more on telling than on
    working."""
    started = told = shown = time.monotonic()
    artifact: UUID | None = None

    def tell(done: int, total: int, **values: float) -> None:
        nonlocal told, shown, artifact
        now = time.monotonic()
        if now - told >= _BUS_SECONDS or done >= total:
            told = now
            publish(Event(stage, name, done, total, dict(values)))
        if now - shown >= _UI_SECONDS and now - started >= _UI_SECONDS:
            shown = now
            share = 100.0 * done / max(total, 1)
            if artifact is None:
                key = slug(f"{stage}-{name}").lower().replace("_", "-")
                artifact = create_progress_artifact(progress=share, key=key, description=f"{stage}: {name}")
            else:
                update_progress_artifact(artifact, progress=share)

    return tell
