"""What the steps on one division of the images have in common."""

from __future__ import annotations

from synaug_core.config import ComputeConfig
from synaug_core.frozen import Frozen
from synaug_core.refs import DatasetRef, RunRef

__all__ = ["Context"]


class Context(Frozen):
    """The images, the seed that all others derive from, how to compute, and the run below which steps are recorded."""

    dataset: DatasetRef
    seed: int
    compute: ComputeConfig
    run: RunRef

    def below(self, run: RunRef) -> Context:
        """The same, recorded below another run."""
        return self.model_copy(update={"run": run})
