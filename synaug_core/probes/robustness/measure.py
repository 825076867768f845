"""One trained classifier on disturbed and attacked test images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaug_core import seeds
from synaug_core.classify.model import Classifier, as_float
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config import RobustnessConfig
from synaug_core.data import imageset, thinning
from synaug_core.probes.robustness import attacks
from synaug_core.probes.robustness.curves import Curve, Kind, Point, Robustness
from synaug_core.probes.robustness.perturbations import SEVERITIES, perturb
from synaug_core.progress import Progress, silent

__all__ = ["choose_images", "measure_robustness"]

_PIXELS = 64 * 64 * 64
_MOST, _LEAST = 64, 8

Wrong = NDArray[np.bool_]
Tried = dict[str, tuple[Kind, list[float]]]


def choose_images(images: imageset.ImageSet, limit: int, seed: int) -> imageset.ImageSet:
    """Choose at most `limit` of the images, the classes as equal in number as they can be: rare classes whole.

    Within a class they are drawn at random, by a stream of the class's name; they stay in their order.
    """
    counts = {name: n for name, n in images.counts().items() if n}
    shares = thinning.equal_shares(counts, limit, sorted(counts, key=lambda c: (counts[c], c), reverse=True))
    rows = []
    for name, n in shares.items():
        class_rows = images.rows_of(name)
        rows.append(class_rows[torch.randperm(len(class_rows), generator=seeds.stream(seeds.derive(seed, name)))[:n]])
    return images.take(torch.cat(rows).sort().values) if rows else images


def measure_robustness(
    classifier: TrainedClassifier,
    images: imageset.ImageSet,
    config: RobustnessConfig,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Robustness:
    """Accuracy over the strength of every perturbation and attack of `config`.

    Which images, and how each is disturbed, depends on `images`, `config.images` and `seed` alone: every classifier
    measured with one seed gets the same ones. Adversarial images are its own.

    An image that fools the classifier at one eps lies within every larger one too, so it counts as fooled there and
    is not attacked again; an image that is misclassified as it is was never right. Hence accuracy cannot rise with
    eps, and PGD, which tries FGSM's image too, is nowhere weaker than FGSM.

    Args:
        classifier: is not changed.
        images: of the shape it takes; at most `config.images` of them are used.
        config: what to try.
        seed: of the choice of images, the perturbations and the random starts.
        device: where to compute.
        progress: called after each batch.

    Raises:
        ValueError: no image, or images of another shape.
    """
    sample = choose_images(images, config.images, seeds.derive(seed, "images"))
    if not len(sample):
        raise ValueError("images: none to disturb")
    classifier.check(sample.images)
    disturbances = _tried(config)
    clean_errors = np.zeros(len(sample), dtype=bool)
    errors = {
        (name, s): np.zeros(len(sample), dtype=bool) for name, (_, strengths) in disturbances.items() for s in strengths
    }
    model = attacks.freeze_copy(classifier.model, device)
    size = max(_LEAST, min(_MOST, _PIXELS // sample.size**2))
    for start in range(0, len(sample), size):
        part = slice(start, min(start + size, len(sample)))
        pixels, labels = sample.images[part].to(device), sample.labels[part].to(device)
        batch_seed = seeds.derive(seed, start)
        first = attacks.measure_response(model, as_float(pixels), labels, gradient=bool(config.attacks))
        clean_errors[part] = first.fooled.cpu().numpy()
        for name, strength, batch_errors in _disturbed(model, pixels, labels, disturbances, batch_seed):
            errors[name, strength][part] = batch_errors
        for name, strength, batch_errors in _attacked(model, first, labels, disturbances, config.steps, batch_seed):
            errors[name, strength][part] = batch_errors
        progress(part.stop, len(sample))
    true = sample.labels.numpy()
    origin = _point(0, clean_errors, true)
    curves = (
        Curve(name=name, kind=kind, points=(origin, *(_point(s, errors[name, s], true) for s in strengths)))
        for name, (kind, strengths) in disturbances.items()
    )
    counts = {name: n for name, n in sample.counts().items() if n}
    strengths = sorted({s for kind, of_kind in disturbances.values() if kind == "attack" for s in of_kind})
    fooled = [np.any([errors[name, s] for name in config.attacks], axis=0) for s in strengths]
    attacked: dict[str, Any] = {}
    if fooled:
        attacked = {"labels": tuple(true.tolist()), "withstood": tuple((1 - np.mean(fooled, axis=0)).tolist())}
    return Robustness(clean=origin, curves=tuple(curves), images=len(sample), classes=counts, **attacked)


def _tried(config: RobustnessConfig) -> Tried:
    """In the order of the configuration."""
    eps = sorted(set(config.eps))
    severities = [float(s) for s in range(1, SEVERITIES + 1)]
    disturbances: Tried = dict.fromkeys(config.perturbations, ("perturbation", severities))
    return disturbances | {name: ("attack", eps) for name in config.attacks if eps}


def _disturbed(
    model: Classifier, pixels: Tensor, labels: Tensor, disturbances: Tried, seed: int
) -> Iterator[tuple[str, float, Wrong]]:
    """By perturbation and severity, which images of a batch are misclassified, bool (n,)."""
    for name, (kind, severities) in disturbances.items():
        for severity in severities if kind == "perturbation" else ():
            disturbed = perturb(pixels, name, int(severity), seeds.derive(seed, name))
            response = attacks.measure_response(model, as_float(disturbed), labels, gradient=False)
            yield name, severity, response.fooled.cpu().numpy()


def _attacked(
    model: Classifier, clean: attacks.Response, labels: Tensor, disturbances: Tried, steps: int, seed: int
) -> Iterator[tuple[str, float, Wrong]]:
    """By attack and eps in 255ths, which images of a batch are fooled, bool (n,)."""
    by_fgsm: dict[float, Tensor] = {}
    noise = torch.rand(clean.images.shape, generator=seeds.stream(seeds.derive(seed, "pgd"))).mul_(2).sub_(1)
    noise = noise.to(clean.images.device)
    for name in sorted(disturbances):  # fgsm comes before pgd
        kind, strengths = disturbances[name]
        fooled = clean.fooled
        for eps in strengths if kind == "attack" else ():
            if name == "pgd" and by_fgsm:
                fooled = fooled | by_fgsm[eps]
            standing_rows = (~fooled).nonzero().flatten()
            if len(standing_rows):
                attack = _attack(
                    name,
                    model,
                    clean.take(standing_rows),
                    labels[standing_rows],
                    eps / 255,
                    steps,
                    noise[standing_rows],
                    bool(by_fgsm),
                )
                fooled = fooled.index_put((standing_rows,), attack.fooled)
            if name == "fgsm":
                by_fgsm[eps] = fooled
            yield name, eps, fooled.cpu().numpy()


def _attack(
    name: str,
    model: Classifier,
    clean: attacks.Response,
    labels: Tensor,
    eps: float,
    steps: int,
    noise: Tensor,
    after_fgsm: bool,
) -> attacks.StrongestAttack:
    if name == "fgsm":
        return attacks.fgsm(model, clean, labels, eps=eps)
    if name == "lowering":
        return attacks.lowering(model, clean, labels, eps=eps, steps=steps)
    start = attacks.random_start(clean.images, noise, eps)
    return attacks.pgd(model, clean, labels, eps=eps, steps=steps, start=start, after_fgsm=after_fgsm)


def _point(strength: float, errors: Wrong, true: NDArray[np.int64]) -> Point:
    images, correct_counts = np.bincount(true), np.bincount(true, weights=~errors)
    recall = correct_counts[images > 0] / images[images > 0]
    return Point(strength=strength, accuracy=float((~errors).mean()), balanced_accuracy=float(recall.mean()))
