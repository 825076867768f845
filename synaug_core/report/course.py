"""What was done, in what order and from which seeds, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.classify.budget import resolve_steps
from synaug_core.classify.search_space import list_rungs, searched_arms
from synaug_core.config import BEST, HYPERPARAMETERS
from synaug_core.config.synthesis import KeptDetail
from synaug_core.data.thinning import DEFAULT
from synaug_core.evaluate.sentence import percent_text
from synaug_core.generators import registry as generators
from synaug_core.probes.registry import enabled_probes
from synaug_core.report.words import metric_name, number, plain
from synaug_core.seeds import derive
from synaug_core.synthesis.registry import find

if TYPE_CHECKING:
    from synaug_core.config import ArmConfig, ClassifierConfig, Config, FilterConfig, GeneratorConfig, SynthesisConfig
    from synaug_core.evaluate.results import Comparison

__all__ = ["course", "describe_synthesis"]

_KEEP = {
    "val_loss": "the weights with the lowest validation loss",
    "val_balanced_loss": "the weights with the lowest validation loss, averaged over the classes,",
    "val_macro_auc": "the weights with the highest validation macro-AUC",
    "average": "the mean of the weights over the last quarter of the steps",
    "last": "the last weights",
}
_NORMALISATION = {
    "clean": " Batch normalisation predicts with the mean and spread of real training images that are not augmented.",
    "split": " Batch normalisation predicts with the mean and spread of real training images that are not augmented, "
    "and in training it normalises synthetic images apart from real ones.",
    "trained": " Batch normalisation predicts with the running mean and spread of what was trained on.",
}
_START = {
    "none": "random weights, the same for every arm in a repetition",
    "package": "the pretrained weights of an installed package",
    "hub": "the pretrained weights of timm's hub",
    "file": "the pretrained weights of a file",
}
_SAMPLING = {
    "balanced": "classes drawn equally often",
    "deferred": "classes drawn equally often in the last fifth of the steps",
}
_MIXING = {"mixup": "mixup", "cutmix": "CutMix"}
_SHOWN_ARMS = 20


def course(config: Config, comparison: Comparison, dataset: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """Stage and words, from the first file read to the verdict, each with the seeds that it used.

    Args:
        config: of the run.
        comparison: what came of it.
        dataset: a DatasetReport as JSON: what was read, removed and divided.
    """
    report = dataset or {}
    if counts := report.get("counts", {}).get("train"):
        classifier = resolve_steps(config.classifier, config.arms, counts)
        config = config.model_copy(update={"classifier": classifier})
    return [
        ("Seeds", _seeds(config)),
        ("Images", _images(config, report)),
        ("Duplicates", _duplicates(config, report)),
        ("Division", _division(config, report)),
        *describe_synthesis(config, report.get("image_size") or config.data.image_size),
        ("Search", _search(config)),
        ("Training", _training(config, comparison)),
        ("Test images", _test(config, comparison)),
        ("Comparison", _comparison(config, comparison)),
        *_probes(config),
    ]


def _seeds(config: Config) -> str:
    return (
        f"Root seed {config.seed}. Every other seed is the first 63 bits of the SHA-256 of the root seed and a path, "
        f"such as “{config.seed}/synthesis”; the paths stand below. Adding a class, an arm or a repetition changes "
        "nobody else's seed."
    )


def _seed(config: Config, *parts: str | int) -> str:
    """`seed 123 (0/comparison)`."""
    path = "/".join(map(str, (config.seed, *parts)))
    return f"seed {derive(config.seed, *parts)} ({plain(path, 120)})"


def _images(config: Config, report: Mapping[str, Any]) -> str:
    text = f"Read from {plain(str(report.get('source') or config.data.source), 160)}"
    if facts := report.get("facts"):
        text += f": {number(facts.get('images', 0))} images that could be used"
    if size := report.get("image_size") or config.data.image_size:
        colour = {1: ", grey", 3: ", colour"}.get(report.get("channels") or config.data.channels or 0, "")
        fit = report.get("preprocessing", {}).get("fit") or config.data.fit
        text += f", brought to {size} × {size} pixels ({fit}{colour})"
    if rejected_count := len(report.get("rejected", ())):
        text += f"; {number(rejected_count)} file{'s were' if rejected_count != 1 else ' was'} rejected"
    classes = config.data.classes
    class_text = f" Only the classes {', '.join(plain(c) for c in classes)} were used." if classes else ""
    if limit := config.data.max_classes:
        class_text += f" At most the first {limit} classes were used."
    return f"{text}.{class_text}"


def _duplicates(config: Config, report: Mapping[str, Any]) -> str:
    rule = config.data.duplicates
    how = "equal pixel by pixel"
    if rule.distance >= 0:
        how += (
            f" or nearly (perceptual hashes at most {rule.distance} of 64 bits apart, thumbnails correlated at least "
            f"{rule.correlation:g})"
        )
    kinds = [group.get("kind") for group in report.get("duplicates", ())]
    groups = len(kinds) - kinds.count("related")
    text = f"Images that are {how} were sought" + (
        f": {number(groups)} group{'s' * (groups != 1)}." if "duplicates" in report else "."
    )
    split_text = "removed from training or validation" if rule.across_splits == "remove" else "kept"
    text += f" The division keeps them together; where the source has them in two parts, they were {split_text}."
    conflicts = "left out of training" if rule.conflicting_labels == "remove" else "kept"
    return f"{text} Equal images with different labels were {conflicts}.{_related(config, kinds.count('related'))}"


def _related(config: Config, groups: int) -> str:
    if config.data.duplicates.related == "apart":
        return ""
    by = "pixels and a pretrained network's features" if config.data.duplicates.related == "features" else "pixels"
    return (
        f" Probable views of one thing were sought by low-frequency {by}, far nearer to each other than to the images "
        f"around them; {number(groups)} group{'s' * (groups != 1)} of them stayed together where images were divided."
    )


def _division(config: Config, report: Mapping[str, Any]) -> str:
    split = config.data.split
    if split.folds is not None:
        text = (
            f"{split.folds}-fold cross-validation, {config.repetitions} time{'s' * (config.repetitions != 1)}, each "
            f"time divided anew, by class; groups stay together. {_share(split.validation)} of the images validate. "
            f"First division: {_seed(config, 'repetition', 0)}. Everything that learns, the generators, filters and "
            "the search too, learnt inside each fold."
        )
    elif split.draws:
        own = report.get("split") == "completed"
        test = "the source's own" if own else f"{_share(split.test_share)} of the images, chosen once"
        text = (
            f"{config.repetitions} draw{'s' * (config.repetitions != 1)} of training and validation images, by class, "
            f"from all that are not in the one test part ({test}); groups stay on one side. "
            f"{_share(split.validation)} of the images of a draw validate. First draw: {_seed(config, 'draw', 0)}. "
            "Everything that learns, the generators, filters and the search too, learnt from one draw."
        )
    elif report.get("split") == "supplied":
        text = "The training, validation and test images are those that the source supplies."
    else:
        text = (
            f"{_share(split.validation)} validation and {_share(split.test_share)} test images were drawn class by "
            f"class where the source has none; groups stay together. Paths of the draws: {config.seed}/split/…"
        )
    root = derive(config.seed, "draw", 0) if split.draws else config.seed
    if ratio := config.data.long_tail:
        text += f" The training images were thinned out to a long tail of {ratio:g} to 1."
        text += f" Paths of the draws: {root}/long_tail/…"
    if limit := config.data.per_class:
        text += f" Low-data mode: at most {_limits(limit)}, the same for generators and arms."
        text += f" Paths of the draws: {root}/low_data/…"
    return text


def _limits(per_class: int | Mapping[str, int]) -> str:
    if isinstance(per_class, int):
        return f"{per_class} training images of each class"
    named = ", ".join(f"{count} of {plain(name)}" for name, count in per_class.items() if name != DEFAULT)
    rest = f"{per_class[DEFAULT]} of each {'other ' * bool(named)}class" if DEFAULT in per_class else ""
    return f"{' and '.join(part for part in (named, rest) if part)} as training images"


def _share(value: float) -> str:
    return percent_text(round(value, 4))


def _search(config: Config) -> str:
    tuning = config.tuning
    if not tuning.trials:
        return "None: every arm was trained with the configured values."
    if tuning.scope == "per_arm":
        searched = config.arms
        budget = f"{tuning.trials} trials for each arm"
        seeds = f"first arm: {_seed(config, 'tuning', config.arms[0].name)}"
    else:
        searched = searched_arms(tuning, config.arms)
        names = ", ".join(arm.name for arm in searched)
        budget = f"{tuning.trials} trials for all arms together, by the mean score of {names}"
        seeds = _seed(config, "tuning", names)
    unknown = tuning.steps is None and config.classifier.steps == "auto"
    first, *later = list_rungs(
        tuning.model_copy(update={"steps": 1000 if unknown else config.classifier.steps_or_half(tuning.steps)})
    )

    def steps_text(steps: int) -> str:
        return f"1/{2000 // steps} of the arms'" if unknown else number(steps)

    halving = "".join(f", and the best {r.trials} of them anew of {steps_text(r.steps)} steps" for r in later)
    narrow = tuning.narrowed_to(searched, config.classifier.training)
    titles = [HYPERPARAMETERS[name].title for name in narrow.spaces()]
    word = config.data.split.division_word
    place = f", in each {word} anew" if word else ""
    if config.classifier.training == "frozen" and not titles:
        return "None: these arms have nothing to search on frozen features."
    if config.classifier.training == "frozen":
        return (
            f"{budget}{place}, each with the same trainings as the arms' own, over {', '.join(titles)}; the measure is "
            f"balanced accuracy on the validation images. Sampler: {seeds}."
        )
    return (
        f"{budget}{place}, of {steps_text(first.steps)} steps each{halving}, over {', '.join(titles)}; the "
        f"measure is balanced accuracy on the validation images. Sampler: {seeds}."
    )


def _training(config: Config, comparison: Comparison) -> str:
    c = config.classifier
    if c.training == "frozen":
        return _frozen_training(config, comparison)
    steps = "as many as the images need" if c.steps == "auto" else number(c.steps)
    first = next(iter(comparison.arms))
    how_many = comparison.design if comparison.folds else f"{config.repetitions} times"
    return (
        f"{len(comparison.arms)} arms, {how_many}, each with {c.backbone} from {_START[c.pretrained]}"
        f"{_fine_tuning(c)}: at most {steps} optimiser steps ({c.optimizer}, batches of {c.batch_size}), "
        f"{_KEEP[c.keep]} kept.{_NORMALISATION[c.normalisation]}{_prior(c)} "
        f"The arms: {'; '.join(_arms(config, comparison))}. First training: weights {_seed(config, 'init', 0)}, "
        f"batches of {plain(first)} {_seed(config, 'batches', first, 0)}. Those of the next ones end in 1, 2, …"
    )


def _fine_tuning(config: ClassifierConfig) -> str:
    if config.training != "fine_tuned":
        return ""
    shown = "" if config.input_size is None else f", shown images of {config.input_size} × {config.input_size} pixels"
    rates = f"at {config.layer_decay:g} of the next one's rate" if config.layer_decay < 1 else "at one rate"
    return (
        f"{shown}, and fine-tuned: first a head of its features, the solution of a logistic regression, then all "
        f"weights, each stage of the network {rates}; the batch normalisation of "
        f"{_share(config.frozen_statistics)} of the stages, the first ones, keeps its statistics"
    )


def _frozen_training(config: Config, comparison: Comparison) -> str:
    c = config.classifier
    first = next(iter(comparison.arms))
    how_many = comparison.design if comparison.folds else f"{config.repetitions} times"
    shown = "" if c.input_size is None else f", which is shown images of {c.input_size} × {c.input_size} pixels"
    return (
        f"{len(comparison.arms)} arms, {how_many}, each with a linear head on the features of {c.backbone}{shown}. "
        f"Its weights stay as they are: {_START[c.pretrained]}. The features are those of the last layer and the mean "
        "and deviation of each channel of each stage, standardised by the real training images, of each image and, in "
        "arms with "
        f"augmentation, of {c.views} augmented view{'s' * (c.views > 1)} of it, which weigh{'s' * (c.views == 1)} "
        f"{_share(c.augmentation.probability)} of it. The head is the solution of a logistic regression with an L2 "
        "penalty, whose strength has the lowest validation loss, averaged over the classes. There are no optimiser "
        f"steps to compare.{_prior(c)} "
        f"The arms: {'; '.join(_arms(config, comparison))}. First training: views of {plain(first)} "
        f"{_seed(config, 'batches', first, 0)}. Those of the next ones end in 1, 2, …"
    )


def _prior(config: ClassifierConfig) -> str:
    if config.prior_correction == 0:
        return ""
    chosen = "chosen on the validation images" if config.prior_correction == "auto" else f"{config.prior_correction:g}"
    return f" After the training the prior of its draws is taken off the logits (strength {chosen})."


_OVERSAMPLING = {
    "shared_covariance": "the variation of frequent classes",
    "eos": "steps towards near images of other classes",
    "own_covariance": "the class's own variation",
    "interpolation": "interpolation",
}


def _arms(config: Config, comparison: Comparison) -> Iterator[str]:
    for arm in map(config.classifier.narrow, config.arms[:_SHOWN_ARMS]):
        parts = [_SAMPLING[arm.sampling]] if arm.sampling != "natural" else []
        parts += [f"the best of {', '.join(arm.candidates)} on the validation images"] if arm.candidates else []
        parts += ["balanced softmax"] if arm.loss == "balanced_softmax" else []
        parts += [f"{arm.augmentation} augmentation"] if arm.augmentation != "none" else []
        parts += [f"images of a batch mixed by {_MIXING[arm.mixing]}"] if arm.mixing != "none" else []
        parts += [f"{arm.members} networks with an equal part of the steps each"] if arm.members > 1 else []
        parts += ["synthetic images"] if arm.synthesis is not None else []
        if arm.oversampling is not None:
            parts.append(f"points among the features, by {_OVERSAMPLING[arm.oversampling.method]}")
        parts += [f"these weigh {arm.synthetic_weight:g}"] if arm.synthetic_weight != 1 else []
        parts += [f"the first {100 * arm.pretrain:g} % of the steps on them alone"] if arm.pretrain else []
        parts += ["synthetic images inside the training"] if arm.online is not None else []
        parts = parts or ["the real images as they are"]
        if (result := comparison.arms.get(arm.name)) is not None and result.real_images:
            real, added = (round(sum(n.values())) for n in (result.real_images, result.synthetic_images))
            parts.append(f"{number(real)} real images" + (f" and {number(added)} synthetic ones" if added else ""))
        yield f"{arm.name} ({', '.join(parts)})"
    if (more := len(config.arms) - _SHOWN_ARMS) > 0:
        yield f"{more} more"


def _test(config: Config, comparison: Comparison) -> str:
    text = "Each finished training predicted its test images once. No choice rests on them"
    if comparison.folds and config.evaluation.primary.arm == BEST and comparison.best_synthetic:
        return (
            f"{text} inside a fold; but what validates in one fold is a test image of another, so the choice of the "
            "arm is allowed for by Holm's correction."
        )
    return f"{text}: arms, weights and thresholds were chosen on the validation images."


def _comparison(config: Config, comparison: Comparison) -> str:
    evaluation = config.evaluation
    arm = (
        "the best synthetic arm on the validation images" if evaluation.primary.arm == BEST else evaluation.primary.arm
    )
    seed = derive(config.seed, "comparison")
    text = (
        f"Declared beforehand: {plain(arm, 80)} against every control, by {metric_name(evaluation.primary.metric)}. "
        f"Intervals at {percent_text(evaluation.confidence)}"
    )
    if comparison.folds is None:
        text += f" from {number(evaluation.resamples)} bootstrap resamples"
    paths = "intervals, contrasts and power"
    return (
        f"{text}. {_seed(config, 'comparison').capitalize()}; {paths} derive theirs from {seed}/… "
        f"Calibration and thresholds: {_seed(config, 'reliability')}."
    )


def _probes(config: Config) -> Iterator[tuple[str, str]]:
    for probe, section in enabled_probes(config):
        stage, words = probe.procedure(section)
        yield stage, f"{words} {_seed(config, probe.name).capitalize()}."


_PLANS = {
    "auto": "every class is filled up to the largest",
    "all": "every class is filled up to the largest",
    "not majority": "every class is filled up to the largest",
    "not minority": "every class but the smallest is filled up to the largest",
    "minority": "the smallest class is filled up to the largest",
    "every": "every class gets as many as it has",
}


def describe_synthesis(config: Config, size: int | None = None) -> Iterator[tuple[str, str]]:
    """The stages between the division of the images and the search; none where no arm has synthetic images.

    Args:
        config: of the run.
        size: of the stored images, pixels a side, where it is known.
    """
    syntheses: dict[str, tuple[SynthesisConfig, list[str]]] = {}
    for arm in config.arms:
        if arm.synthesis is not None:
            syntheses.setdefault(arm.synthesis.model_dump_json(), (arm.synthesis, []))[1].append(arm.name)
    online = [arm for arm in config.arms if arm.online is not None]
    generators = [s.generator for s, _ in syntheses.values() if find(s.strategy).generator]
    generators += [arm.online.generator for arm in online if arm.online is not None]
    if generators:
        yield "Generators", _generators(config, generators, size)
    settings = [s for s, _ in syntheses.values()]
    if settings and (
        config.quality.enabled or any(s.needs_judge or find(s.strategy).needs_classifier(s) for s in settings)
    ):
        yield "Judges", _judges(config)
    for synthesis, arms in syntheses.values():
        yield f"Images for {', '.join(arms)}", _synthesis(config, synthesis, size)
    for arm in online:
        yield f"Images for {arm.name}", _online(config, arm, size)
    if settings and config.quality.enabled:
        yield (
            "Judgement",
            "The images were judged beside held-out real ones. Nothing that is trained depends on it. "
            f"Seed {derive(config.seed, 'quality')} ({config.seed}/quality).",
        )


def _generators(config: Config, names: list[str], size: int | None) -> str:
    by_settings: dict[str, tuple[GeneratorConfig, list[str]]] = {}
    for name in dict.fromkeys(names):
        generator = config.generator_named(name)
        by_settings.setdefault(generator.model_dump_json(), (generator, []))[1].append(name)
    texts = []
    for generator, _ in by_settings.values():
        models = "one model for all classes" if generators.find(generator.kind).joint else "one model for each class"
        shrinking = ""
        if size is not None and (side := generator.learnt_size(size)) < size:
            shrinking = f", from images shrunk to {side} × {side} pixels"
        texts.append(f"{plain(generator.kind)} ({models}, at most {number(generator.steps)} steps{shrinking})")
    seed = derive(config.seed, "generator")
    return f"Fitted to the training images alone: {'; '.join(texts)}. Seed {seed} ({config.seed}/generator)."


def _judges(config: Config) -> str:
    return (
        f"Classifiers of real training images alone, each without a part of them ({config.judge.folds} parts), so "
        "that an image is judged by one that has not seen its parents. "
        f"Seed {derive(config.seed, 'judges')} ({config.seed}/judges)."
    )


def _synthesis(config: Config, synthesis: SynthesisConfig, size: int | None) -> str:
    s, entry = synthesis, find(synthesis.strategy)
    text = f"Strategy {plain(s.strategy)}"
    if entry.description:
        text += f" ({entry.description})"
    if entry.generator:
        text += f", generator {plain(config.generator_named(s.generator).kind)}"
    if s.strategy in _PAIRED:
        ends = " to ".join(f"{a:g}" for a in s.alpha) if s.alpha_mode == "uniform" else ", ".join(map(str, s.alpha))
        path = f"{s.path}, " if s.strategy == "interpolate" else ""
        text += f", a = {ends}, {path}pairs {'at random' if s.pairing == 'random' else 'of neighbours'}"
    if entry.generator:
        enlarges = _enlarges(config, s.generator, size)
        text += _detail(entry.kept_detail(s, enlarges=enlarges), enlarges)
    if s.strategy == "paste":
        p = s.paste
        covered = "" if p.mask == "files" else f" over {p.area[0]:g} to {p.area[1]:g} of the image"
        text += f", by {_MASKS[p.mask]}{covered}, {_BLENDINGS[p.blending]}"
        text += f", label {'by area' if p.label == 'area' else 'of the object'}"
    if entry.target:
        t = s.targeted
        text += f", {t.uncertainty.upper() if t.uncertainty == 'mi' else t.uncertainty} over {t.samples} samples"
        text += f", {t.steps} steps of {t.step_size:g} within {t.radius:g}"
    if isinstance(s.sampling_strategy, str):
        plan_text = _PLANS[s.sampling_strategy]
    elif isinstance(s.sampling_strategy, dict):
        plan_text = "counts as configured by class"
    else:
        plan_text = f"the smaller class is filled up to {s.sampling_strategy:g} of the larger"
    times = f", times {s.multiple:g}" if s.multiple != 1 else ""
    if s.subset is not None:
        chosen = "at random"
        if s.subset.by == "informative":
            kind = _UNCERTAINTIES[s.subset.uncertainty]
            chosen = f"by middle {kind} of a classifier of real images, and to cover the class"
        times += f"; of {s.subset.candidates:g} times as many candidates, chosen {chosen}"
    if s.labels == "judged":
        times += "; labels are what judges say who have not seen the parents"
    seed = derive(config.seed, "synthesis")
    anew = "drawn anew for each repetition" if s.anew else "the same for all repetitions"
    return f"{text}, {anew}. Plan: {plan_text}{times}. {_filters(s.filters)} Seed {seed} ({config.seed}/synthesis)."


_MASKS = {"map": "a classifier's map", "box": "a square", "files": "masks from files"}
_BLENDINGS = {"feather": "with a soft edge", "poisson": "with Poisson blending", "none": "with a hard edge"}
_PAIRED = ("interpolate", "transfer", "transfer-random")
_UNCERTAINTIES = {"entropy": "entropy", "mi": "mutual information"}


def _filters(filters: FilterConfig | None) -> str:
    if filters is None:
        return "No filter: all were used."
    checks = {
        "at least {:g} of the usual spacing from a training image": filters.memorisation,
        "at least {:g} of it from another synthetic image": filters.near_duplicates,
        "contrast at least {:g} of the lowest real one": filters.blankness,
    }
    texts = [text.format(value) for text, value in checks.items() if value is not None]
    if filters.label_consistency == "auto":
        texts.insert(
            0,
            f"label probability of the judges at least {filters.least_probability(None):g}, or what a tenth of "
            "the class's real images stay below",
        )
    elif filters.label_consistency is not None:
        texts.insert(0, f"label probability of the judges at least {filters.label_consistency:g}")
    return f"Filters: {'; '.join(texts) or 'none'}; at most {filters.limit:g} made for each wanted."


def _enlarges(config: Config, generator: str, size: int | None) -> bool:
    return size is not None and config.generator_named(generator).learnt_size(size) < size


def _detail(detail: KeptDetail, enlarges: bool) -> str:
    """What becomes of the detail that a generator loses, where there is something to say of it."""
    if detail != "none":
        return f", detail: {detail}" + ", so lifted to the images' full size" * enlarges
    return ", enlarged to the images' full size" * enlarges


def _online(config: Config, arm: ArmConfig, size: int | None) -> str:
    o = arm.online
    if o is None:
        return ""
    enlarges = _enlarges(config, o.generator, size)
    detail = _detail("residual" if o.keeps_detail(enlarges=enlarges) else "none", enlarges)
    return (
        f"Made inside the training ({o.strategy}, {o.generator}{detail}) after {100 * o.start:g} % of the steps: "
        f"{100 * o.share:g} % of a batch, weight {o.weight:g}."
    )
