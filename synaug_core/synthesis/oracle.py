"""Held-back real images in the synthetic ones' place: the positive control."""

from collections.abc import Mapping

from synaug_core.config import SynthesisConfig
from synaug_core.errors import ConfigError, DataError
from synaug_core.synthesis.strategy import NewImages, Source

__all__ = ["check_held_back", "oracle"]


def oracle(source: Source, n: int, config: SynthesisConfig, *, seed: int) -> NewImages:
    """The first n of the class's held-back images, unchanged; they stand in a random order.

    No generator can do better than fresh images of the real distribution: where a comparison does not show what these
    bring, it can show no generator's gain.

    Raises:
        ConfigError: fewer than n are held back.
    """
    images = source.held_back
    if images is None or len(images) < n:
        raise ConfigError(f"synthesis.strategy: {n} images of {source.class_name} are not held back")
    return NewImages(images.images[:n].cpu(), [{"parents": [], "held_back": name} for name in images.ids[:n]])


def check_held_back(planned: Mapping[str, int], held_back: Mapping[str, int]) -> None:
    """Refuse a plan of which no image is held back.

    Args:
        planned: class -> images that the plan asks for.
        held_back: class -> images that are there.

    Raises:
        DataError: none of the classes has any.
    """
    classes = [name for name, count in planned.items() if count]
    if classes and not any(held_back.get(name, 0) for name in classes):
        raise DataError(
            f"no real image of {', '.join(classes)} is left out of training, so the positive control has none to "
            "give: lower data.per_class or raise data.long_tail, or leave the arm out"
        )
