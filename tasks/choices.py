"""Names and values that only the part that uses them can judge, judged before anything slow begins."""

from __future__ import annotations

from synaug_core.config import ArmConfig, Config
from synaug_core.refs import DatasetRef
from tasks.step import step

__all__ = ["check_choices"]


@step("nets", "generators", "synthesis", "classify")
def check_choices(dataset: DatasetRef, config: Config) -> bool:
    """Refuse an unknown generator, strategy or backbone, a plan or range that cannot be, weights that cannot be had."""
    from synaug_core.classify.build import build
    from synaug_core.classify.search_space import checked_ranges

    channels, size = dataset.channels, dataset.image_size
    for arm in config.arms:
        _check_arm(dataset, config, arm)
    if config.tuning.trials:
        checked_ranges(config.tuning)
    halves = (0.5,) * channels
    build(config.classifier, channels=channels, size=size, classes=dataset.classes, seed=0, mean=halves, std=halves)
    return True


def _check_arm(dataset: DatasetRef, config: Config, arm: ArmConfig) -> None:
    from synaug_core.errors import ConfigError
    from synaug_core.generators import registry as generators
    from synaug_core.generators.base import LatentGenerator
    from synaug_core.synthesis import registry as strategies
    from synaug_core.synthesis.plan import plan

    def check(generator: str, strategy: str, latent: bool) -> None:
        kind = config.generator_named(generator)
        made = generators.create(kind, dataset.classes, dataset.channels, dataset.image_size)
        if latent and not isinstance(made, LatentGenerator):
            raise ConfigError(
                f"arm {arm.name}: {strategy} needs a generator with a latent space, and {kind.kind} has none; "
                "use prior, or another generator"
            )

    if (synthesis := arm.synthesis) is not None:
        entry = strategies.find(synthesis.strategy)
        plan(dataset.train.counts, synthesis.sampling_strategy, synthesis.multiple)
        if entry.generator:
            check(synthesis.generator, synthesis.strategy, entry.latent)
        if entry.target and synthesis.targeted.posterior == "dropout" and not config.classifier.dropout:
            raise ConfigError(f"arm {arm.name}: {synthesis.strategy} needs classifier.dropout above 0")
    if arm.online is not None:
        check(arm.online.generator, f"online {arm.online.strategy}", True)
