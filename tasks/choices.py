"""Choices that only the part that uses them can judge, with the images at hand, before anything slow begins."""

from synaug_core.config import ArmConfig, Config
from synaug_core.refs import DatasetRef
from tasks.engine.step import step

__all__ = ["check_choices"]


@step
def check_choices(dataset: DatasetRef, config: Config) -> bool:
    """Refuse what these images cannot serve: a plan, a generator or a backbone; and weights that cannot be had.

    What needs no image was refused before: `synaug_core.preflight`.
    """
    from synaug_core.classify.model import build

    channels, size = dataset.channels, dataset.image_size
    for arm in config.arms:
        _check_arm(dataset, config, arm)
    halves = (0.5,) * channels
    build(config.classifier, channels=channels, size=size, classes=dataset.classes, seed=0, mean=halves, std=halves)
    return True


def _check_arm(dataset: DatasetRef, config: Config, arm: ArmConfig) -> None:
    from synaug_core.generators import registry as generators
    from synaug_core.synthesis import registry as strategies
    from synaug_core.synthesis.plan import plan

    def check(generator: str) -> None:
        generators.create(config.generator_named(generator), dataset.classes, dataset.channels, dataset.image_size)

    if (synthesis := arm.synthesis) is not None:
        plan(dataset.train.counts, synthesis.sampling_strategy, synthesis.multiple)
        if strategies.find(synthesis.strategy).generator:
            check(synthesis.generator)
    if arm.online is not None:
        check(arm.online.generator)
