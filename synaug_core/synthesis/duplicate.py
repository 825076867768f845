"""Real images again: the control that says what more of the same is worth."""

from synaug_core.config import SynthesisConfig
from synaug_core.generators import randoms
from synaug_core.seeds import derive
from synaug_core.synthesis.strategy import NewImages, Source

__all__ = ["duplicate"]


def duplicate(source: Source, n: int, config: SynthesisConfig, *, seed: int) -> NewImages:
    """The class's training images, unchanged, in a random order; all of them before any comes again."""
    rows = randoms.cycle(n, len(source.images), derive(seed, "first"))
    parents = [{"parents": [source.images.ids[i]]} for i in rows.tolist()]
    return NewImages(source.images.images[rows].cpu(), parents)
