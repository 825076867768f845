"""What makes images inside the training loop, for the arms that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.refs import DatasetRef, GeneratorRef
from tasks.loading import load_generator, load_images

if TYPE_CHECKING:
    import torch

    from synaug_core.classify.online import Online

__all__ = ["online_synthesis"]


def online_synthesis(
    dataset: DatasetRef,
    arm: ArmConfig,
    generators: tuple[GeneratorRef, ...],
    config: ClassifierConfig,
    device: torch.device,
) -> Online | None:
    """The maker of an arm's images, from its frozen generators; None for an arm that makes none in the loop."""
    from synaug_core.synthesis.targeted.online import OnlineSynthesis

    if arm.online is None:
        return None
    fitted = [load_generator(reference, str(device)) for reference in generators]
    train = load_images(dataset.train)
    return OnlineSynthesis(fitted, train, arm.online, batch_size=config.batch_size, device=device)
