"""The images part of `core_only`: generators, what judges their images, the images, and how good they are."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from benchmarks.core.job import Job, Synthetic, call
from synaug_core import devices
from synaug_core.config import SynthesisConfig
from synaug_core.data import parquet
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.errors import UserError
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob, Generator
from synaug_core.generators.grouping import groups
from synaug_core.quality.assess import assess
from synaug_core.quality.consistency import measure_real_consistency, measure_real_labels
from synaug_core.quality.features import FrozenFeatures
from synaug_core.quality.judge import Judges
from synaug_core.quality.neighbours import find_nearest_training_image, find_similar_training_image
from synaug_core.quality.usefulness import measure_usefulness
from synaug_core.report import sheets
from synaug_core.report.contact import ON_PAGE, contact_page, contact_sheet
from synaug_core.report.figures.synthesis import alpha_figure, funnel_figure
from synaug_core.report.figures.training import fit_figure
from synaug_core.report.quality import quality_page
from synaug_core.seeds import derive
from synaug_core.synthesis.alpha_sweep import ALPHAS, alpha_sweep, walks
from synaug_core.synthesis.make import synthesise
from synaug_core.synthesis.plan import plan

__all__ = ["make_images"]


def make_images(job: Job) -> tuple[Synthetic, list[Future[None]]]:
    """The images of each arm, and what judges them beside the search."""
    config, counts = job.config, job.data.train.counts()
    syntheses = {arm.name: arm.synthesis for arm in config.arms if arm.synthesis is not None}
    distinct = list({s.model_dump_json(): s for s in syntheses.values()}.values())
    plans = [plan(counts, s.sampling_strategy, s.multiple) for s in distinct]
    classes = [name for name in job.data.train.classes if any(p.get(name, 0) > 0 for p in plans)]
    if not classes:
        return {arm.name: None for arm in config.arms}, []
    if any(s.generator != "default" or s.strategy not in ("interpolate", "prior") for s in distinct):
        raise UserError("this benchmark knows one generator and the strategies interpolate and prior")
    grouped = groups(
        {name: counts[name] for name in classes}, config.generator_named("default"), device_type=job.device.type
    )
    fits = [call(_fit, job, group, number) for number, group in enumerate(grouped)]
    if "classifier" in (config.judge.training, config.quality.features):
        raise UserError("this benchmark knows judges and quality on frozen features alone")
    on_reals = [call(_judges, job)]
    first, second = (on_reals, fits) if job.workers > 1 else (fits, on_reals)
    results: list[Any] = job.side_by_side([*first, *second])
    of_first, of_second = results[: len(first)], results[len(first) :]
    real_only, generators = (of_first, of_second) if job.workers > 1 else (of_second, of_first)
    [judges] = real_only
    keys = [(s, generator) for s in distinct for generator in generators]
    batches = job.side_by_side([call(_synthesise, job, s, g, judges, n) for n, (s, g) in enumerate(keys)])
    joined = {
        s.model_dump_json(): concatenate([m for m, (synthesis, _) in zip(batches, keys, strict=True) if synthesis == s])
        for s in distinct
    }
    quality = [job.pool.submit(_assess, job, images, generators, judges) for images in joined.values()]
    sets_by_arm = {arm.name: joined[arm.synthesis.model_dump_json()] if arm.synthesis else None for arm in config.arms}
    return sets_by_arm, quality


def _fit(job: Job, classes: tuple[str, ...], number: int) -> Generator:
    images = job.data.train
    generator = registry.create(job.config.generator_named("default"), classes, images.channels, images.size)
    saved = job.checkpoint(f"generator-{number}")
    generator.fit(images, FitJob(seed=derive(job.config.seed, "generator"), device=job.device, checkpoint=saved))
    job.keep(fit_figure(generator.reports), f"generators/{number}/training.png")
    if (sheet := sheets.reconstruction(generator, images)) is not None:
        job.keep(sheet, f"generators/{number}/reconstructions.png")
    generator.save(job.place(f"generators/{number}/model"))
    return generator


def _judges(job: Job) -> Judges:
    config = job.config
    judges = Judges.fit(
        job.data.train,
        config.classifier,
        config.judge,
        seed=derive(config.seed, "judges"),
        device=job.device,
    )
    measure_real_consistency(judges, job.data.train)
    judges.save(job.place("judges"))
    return judges


def _synthesise(job: Job, config: SynthesisConfig, generator: Generator, judges: Judges, number: int) -> ImageSet:
    images = job.data.train
    counts = plan(images.counts(), config.sampling_strategy, config.multiple)
    counts = {name: n for name, n in counts.items() if name in generator.classes}
    seed = derive(job.config.seed, "synthesis")
    real_images = concatenate([images.of_class(name) for name in counts])
    labels = measure_real_labels(judges, real_images) if config.filters is not None else {}
    result = synthesise(
        generator,
        images,
        counts,
        config,
        seed=seed,
        judge=judges.probabilities,
        real_probabilities={name: real.low for name, real in labels.items()},
    )
    parquet.write(result.images, job.place(f"synthetic/{number}.parquet"), split="synthetic")
    job.keep(funnel_figure({c: f.model_dump() for c, f in result.funnel.items()}), f"synthetic/{number}-funnel.png")
    if len(result.images):
        _, distance = find_nearest_training_image(result.images, images)
        frozen = _frozen_features(job).fit(images)
        nearest = find_similar_training_image(result.images, images, frozen, most=ON_PAGE)
        scores = {"nearest_distance": distance.tolist()}
        job.keep(sheets.real_beside_synthetic(images, result.images), f"synthetic/{number}.png")
        job.keep(contact_sheet(images, result.images, nearest), f"synthetic/{number}-contact.png")
        page = contact_page(images, result.images, nearest, scores)
        job.place(f"synthetic/{number}.html").write_text(page, encoding="utf-8")
    if rows := walks(generator, images, config):
        job.keep(sheets.interpolation(rows, ALPHAS), f"synthetic/{number}-walks.png")
    if sweeps := alpha_sweep(generator, images, config, seed=seed):
        job.keep(alpha_figure(sweeps), f"synthetic/{number}-alpha.png")
    return result.images


def _frozen_features(job: Job) -> FrozenFeatures:
    train = job.data.train
    return FrozenFeatures.load(job.config.classifier, channels=train.channels, size=train.size, device=job.device)


def _assess(job: Job, images: ImageSet, generators: list[Generator], judges: Judges) -> None:
    config, data = job.config, job.data
    with devices.cpu_threads(config.compute.threads):
        present = {c: min(n, config.quality.most) for c, n in data.train.counts().items() if images.counts()[c]}
        control = SynthesisConfig(strategy="reconstruct", filters=None)
        controls = [
            synthesise(g, data.train, {c: n for c, n in present.items() if c in g.classes}, control, seed=config.seed)
            for g in generators
        ]
        useful = measure_usefulness(
            data.train,
            images,
            data.val,
            config.classifier,
            seed=derive(config.seed, "usefulness"),
            device=job.device,
            checkpoint_for=lambda name: job.checkpoint(f"usefulness-{name}"),
        )
        report = assess(
            data.train,
            data.val,
            images,
            points_of=_frozen_features(job).fit(data.train),
            config=config.quality,
            seed=derive(config.seed, "quality"),
            judges=judges,
            reconstruction=concatenate([control.images for control in controls]),
            usefulness=useful,
        )
        job.place("quality.html").write_text(quality_page(report), encoding="utf-8")
