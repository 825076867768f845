"""The images that are missing: as many as the plan says, from the generators that learnt the classes."""

from __future__ import annotations

from synaug_core.config import ComputeConfig, SynthesisConfig
from synaug_core.names import slugs
from synaug_core.refs import DatasetRef, GeneratorRef, ImageSetRef, RunRef
from tasks.naming import group_name
from tasks.recording import recorded
from tasks.reporting import progress
from tasks.slots import device_slot
from tasks.step import action, step

__all__ = ["classes_to_fill", "synthesise_group"]


@action
def classes_to_fill(dataset: DatasetRef, configs: tuple[SynthesisConfig, ...]) -> tuple[str, ...]:
    """The classes for which any of the plans asks for images: only these need a generator."""
    from synaug_core.synthesis.plan import plan

    plans = [plan(dataset.train.counts, c.sampling_strategy, c.multiple) for c in configs]
    return tuple(name for name in dataset.classes if any(p.get(name, 0) > 0 for p in plans))


@step("data", "nets", "generators", "synthesis")
def synthesise_group(
    dataset: DatasetRef,
    generator: GeneratorRef,
    config: SynthesisConfig,
    seed: int,
    compute: ComputeConfig,
    parent: RunRef,
) -> ImageSetRef:
    """Make the planned images of a group of classes."""
    from synaug_core.report.sheets import interpolation, real_beside_synthetic
    from synaug_core.seeds import derive
    from synaug_core.synthesis.make import synthesise
    from synaug_core.synthesis.plan import plan
    from synaug_core.synthesis.walks import ALPHAS, walks
    from tasks.loading import load_generator, load_images
    from tasks.storing import store_images

    name, short = group_name(generator.classes), slugs(dataset.classes)
    with recorded("synthesis", f"{config.strategy} {name}", parent) as recorder, device_slot(compute) as device:
        train = load_images(dataset.train)
        wanted = plan(dataset.train.counts, config.sampling_strategy, config.multiple)
        wanted = {c: n for c, n in wanted.items() if c in generator.classes}
        fitted = load_generator(generator, str(device))
        made = synthesise(
            fitted,
            train,
            wanted,
            config,
            seed=derive(seed, "synthesis"),
            progress=progress("synthesis", f"{config.strategy} {name}"),
        )
        reference = store_images(recorder, made, "images/synthetic.parquet", "synthetic")
        recorder.params(config.model_dump() | {"classes": ", ".join(generator.classes)})
        recorder.metrics({f"images/{short[c]}": n for c, n in wanted.items()})
        if len(made):
            recorder.dataset_input(
                made, name=f"{dataset.name}-synthetic", digest=reference.sha256[:36], context="synthetic"
            )
            recorder.figure(real_beside_synthetic(train, made), "figures/real_beside_synthetic.png")
        if rows := walks(fitted, train, config):
            recorder.figure(interpolation(rows, ALPHAS), "figures/interpolation.png")
    return reference
