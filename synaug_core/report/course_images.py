"""How the synthetic images came about, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from synaug_core.generators import registry as generators
from synaug_core.report.words import number, plain
from synaug_core.seeds import derive
from synaug_core.synthesis.registry import find

if TYPE_CHECKING:
    from synaug_core.config import ArmConfig, Config, FilterConfig, GeneratorConfig, SynthesisConfig

__all__ = ["made_images"]

_STRATEGIES = {
    "interpolate": "decoded from between two training images of a class in latent space",
    "prior": "sampled from the generator",
    "reconstruct": "training images through the generator and back",
    "random": "training images moved at random in latent space, as far as targeted ones",
    "targeted": "training images moved in latent space to where a classifier is unsure",
    "duplicate": "copies of training images",
    "mixup": "mixtures of two training images of a class",
}
_PLANS = {
    "auto": "every class is filled up to the largest",
    "all": "every class is filled up to the largest",
    "not majority": "every class is filled up to the largest",
    "not minority": "every class but the smallest is filled up to the largest",
    "minority": "the smallest class is filled up to the largest",
}


def made_images(config: Config) -> Iterator[tuple[str, str]]:
    """The stages between the division of the images and the search; none where no arm has synthetic images."""
    syntheses: dict[str, tuple[SynthesisConfig, list[str]]] = {}
    for arm in config.arms:
        if arm.synthesis is not None:
            syntheses.setdefault(arm.synthesis.model_dump_json(), (arm.synthesis, []))[1].append(arm.name)
    online = [arm for arm in config.arms if arm.online is not None]
    used = [s.generator for s, _ in syntheses.values() if find(s.strategy).generator]
    used += [arm.online.generator for arm in online if arm.online is not None]
    if used:
        yield "Generators", _generators(config, used)
    found = [s for s, _ in syntheses.values()]
    if found and (
        config.quality.enabled or any((s.filters and s.filters.needs_judge) or find(s.strategy).target for s in found)
    ):
        yield "Judges", _judges(config)
    for synthesis, arms in syntheses.values():
        yield f"Images for {', '.join(arms)}", _synthesis(config, synthesis)
    for arm in online:
        yield f"Images for {arm.name}", _online(arm)
    if found and config.quality.enabled:
        yield (
            "Judgement",
            "The images were judged beside held-out real ones. Nothing that is trained depends on it. "
            f"Seed {derive(config.seed, 'quality')} ({config.seed}/quality).",
        )


def _generators(config: Config, names: list[str]) -> str:
    each: dict[str, tuple[GeneratorConfig, list[str]]] = {}
    for name in dict.fromkeys(names):
        generator = config.generator_named(name)
        each.setdefault(generator.model_dump_json(), (generator, []))[1].append(name)
    told = []
    for generator, _ in each.values():
        models = "one model for all classes" if generators.find(generator.kind).joint else "one model for each class"
        told.append(f"{plain(generator.kind)} ({models}, at most {number(generator.steps)} steps)")
    seed = derive(config.seed, "generator")
    return f"Fitted to the training images alone: {'; '.join(told)}. Seed {seed} ({config.seed}/generator)."


def _judges(config: Config) -> str:
    return (
        f"Classifiers of real training images alone, each without a part of them ({config.judge.folds} parts), so "
        "that an image is judged by one that has not seen its parents. "
        f"Seed {derive(config.seed, 'judges')} ({config.seed}/judges)."
    )


def _synthesis(config: Config, synthesis: SynthesisConfig) -> str:
    s = synthesis
    said = f"Strategy {plain(s.strategy)}"
    if meaning := _STRATEGIES.get(s.strategy):
        said += f" ({meaning})"
    if find(s.strategy).generator:
        said += f", generator {plain(config.generator_named(s.generator).kind)}"
    if s.strategy == "interpolate":
        ends = " to ".join(f"{a:g}" for a in s.alpha) if s.alpha_mode == "uniform" else ", ".join(map(str, s.alpha))
        said += f", a = {ends}, {s.path}, pairs {'at random' if s.pairing == 'random' else 'of neighbours'}"
        said += f", detail: {s.detail}" if s.detail != "none" else ""
    if find(s.strategy).target:
        t = s.targeted
        said += f", {t.uncertainty.upper() if t.uncertainty == 'mi' else t.uncertainty} over {t.samples} samples"
        said += f", {t.steps} steps of {t.step_size:g} within {t.radius:g}"
    if isinstance(s.sampling_strategy, str):
        planned = _PLANS[s.sampling_strategy]
    elif isinstance(s.sampling_strategy, dict):
        planned = "counts as configured by class"
    else:
        planned = f"the smaller class is filled up to {s.sampling_strategy:g} of the larger"
    times = f", times {s.multiple:g}" if s.multiple != 1 else ""
    seed = derive(config.seed, "synthesis")
    return f"{said}. Plan: {planned}{times}. {_filters(s.filters)} Seed {seed} ({config.seed}/synthesis)."


def _filters(filters: FilterConfig | None) -> str:
    if filters is None:
        return "No filter: all were used."
    checks = {
        "label probability of the judges at least {:g}": filters.label_consistency,
        "at least {:g} of the usual spacing from a training image": filters.memorisation,
        "at least {:g} of it from another synthetic image": filters.near_duplicates,
        "contrast at least {:g} of the lowest real one": filters.blankness,
    }
    told = [text.format(value) for text, value in checks.items() if value is not None]
    return f"Filters: {'; '.join(told) or 'none'}; at most {filters.limit:g} made for each wanted."


def _online(arm: ArmConfig) -> str:
    o = arm.online
    if o is None:
        return ""
    return (
        f"Made inside the training ({o.strategy}, {o.generator}) after {100 * o.start:g} % of the steps: "
        f"{100 * o.share:g} % of a batch, weight {o.weight:g}."
    )
