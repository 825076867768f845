"""Names and values that only the part that uses them can judge, judged before anything slow begins."""

from __future__ import annotations

from synaug_core.config import ClassifierConfig, GeneratorConfig, SynthesisConfig, TuningConfig
from synaug_core.refs import DatasetRef
from tasks.step import step

__all__ = ["check_choices"]


@step("nets", "generators", "synthesis", "classify")
def check_choices(
    dataset: DatasetRef,
    generator: GeneratorConfig,
    syntheses: tuple[SynthesisConfig, ...],
    classifier: ClassifierConfig,
    tuning: TuningConfig,
) -> bool:
    """Refuse an unknown generator, strategy or backbone, a plan or range that cannot be, weights that cannot be had."""
    from synaug_core.classify.build import build
    from synaug_core.classify.search_space import checked_ranges
    from synaug_core.generators import registry as generators
    from synaug_core.synthesis import registry as strategies
    from synaug_core.synthesis.plan import plan

    channels, size = dataset.channels, dataset.image_size
    for synthesis in syntheses:
        strategies.find(synthesis.strategy)
        plan(dataset.train.counts, synthesis.sampling_strategy, synthesis.multiple)
        generators.create(generator, dataset.classes, channels, size)
    if tuning.trials:
        checked_ranges(tuning)
    halves = (0.5,) * channels
    build(classifier, channels=channels, size=size, classes=dataset.classes, seed=0, mean=halves, std=halves)
    return True
