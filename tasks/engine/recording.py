"""A step's own MLflow run and checkpoint, both named by the step's key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from synaug_core import checkpoints, refs
from synaug_core.services import places
from synaug_core.services.settings import settings
from tasks.engine.keys import this_key

if TYPE_CHECKING:
    from synaug_core.services.mlflow.recorder import Recorder

__all__ = ["checkpoint", "recorded"]


@contextlib.contextmanager
def recorded(
    stage: str,
    name: str,
    parent: refs.RunRef,
    tags: Mapping[str, str] | None = None,
    expected: tuple[type[BaseException], ...] = (),
) -> Iterator[Recorder]:
    """Run the block inside this step's MLflow run: found again if an earlier try left it, ended with the block."""
    from synaug_core.services.mlflow.runs import recording

    with recording(
        settings(),
        experiment=parent.experiment,
        key=this_key(),
        stage=stage,
        name=name,
        parent=parent,
        tags=tags,
        expected=expected,
    ) as recorder:
        yield recorder


def checkpoint(part: str = "") -> checkpoints.Checkpoint:
    """Where this step's training leaves its state; `part` tells several trainings of one step apart."""
    return checkpoints.Checkpoint(settings().home / places.CHECKPOINTS / f"{this_key()[:40]}{part}.pt")
