"""What the steps on one division of the images have in common."""

from __future__ import annotations

from synaug_core import frozen, refs
from synaug_core.config import ComputeConfig

__all__ = ["Context"]


class Context(frozen.Frozen):
    """The images, the seed that all others derive from, how to compute, and the run below which steps are recorded."""

    dataset: refs.DatasetRef
    seed: int
    compute: ComputeConfig
    run: refs.RunRef

    def below(self, run: refs.RunRef) -> Context:
        """The same, recorded below another run."""
        return self.model_copy(update={"run": run})
