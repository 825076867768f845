"""What the steps on one division of the images have in common, and the short name of a group of classes."""

from __future__ import annotations

from collections.abc import Sequence

from synaug_core import frozen, refs
from synaug_core.config import ComputeConfig

__all__ = ["Context", "group_name"]

_SHOWN = 2


class Context(frozen.Frozen):
    """The images, the seed that all others derive from, how to compute, and the run below which steps are recorded."""

    dataset: refs.DatasetRef
    seed: int
    compute: ComputeConfig
    run: refs.RunRef

    def below(self, run: refs.RunRef) -> Context:
        """The same, recorded below another run."""
        return self.model_copy(update={"run": run})


def group_name(classes: Sequence[str]) -> str:
    """A group of classes in few words."""
    if len(classes) <= _SHOWN:
        return ", ".join(classes)
    return f"{', '.join(classes[:_SHOWN])} and {len(classes) - _SHOWN} more"
