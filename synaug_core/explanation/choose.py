"""Which test images to look at: those that the arms disagree on most, some of each class; or a fair sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synaug_core.data.shares import equal_shares
from synaug_core.evaluate.predictions import Predictions
from synaug_core.seeds import derive

__all__ = ["Chosen", "choose", "sample"]


@dataclass(frozen=True)
class Chosen:
    """A test image to show.

    Attributes:
        id: name of the image.
        difference: of the mean probability of its true class, best synthetic arm less reference; without such an
            arm, the highest arm's less the lowest arm's.
        why: in a few words.
    """

    id: str
    difference: float
    why: str


def choose(
    predictions: Mapping[str, Sequence[Predictions]], *, reference: str, best: str | None, images: int
) -> tuple[Chosen, ...]:
    """The images whose true class gains or loses most probability, at least one of each class as far as they go.

    The rarest class (of the test images) comes first where `images` is less than the number of classes. Repetitions
    are averaged; those of an arm that did not see all images of the reference's first one are left out.

    Args:
        predictions: of each arm, its repetitions; the first ones hold the same images.
        reference: name of the best control.
        best: name of the best synthetic arm; None where there is none: then all arms are looked at.
        images: how many to choose.

    Returns:
        At most `images`, the largest difference first; ties by the order of the images.

    Raises:
        ValueError: an arm without predictions of the reference's images.
    """
    first = predictions[reference][0]
    mean = {arm: _of_truth(arm, found, first) for arm, found in predictions.items()}
    if best is not None and best != reference:
        difference = mean[best] - mean[reference]
    else:
        stacked = np.stack(list(mean.values()))
        difference = stacked.max(0) - stacked.min(0)
    order = np.argsort(-np.abs(difference), kind="stable").tolist()
    counts = np.bincount(first.labels, minlength=len(first.classes))
    rarest = sorted((int(c) for c in counts.nonzero()[0]), key=lambda c: (counts[c], c))
    heads = [next(i for i in order if first.labels[i] == c) for c in rarest][:images]
    others = [i for i in order if i not in heads]
    picked = {*heads, *others[: images - len(heads)]}
    top = set(order[:images])
    averaged = any(len(found) > 1 for found in predictions.values())
    return tuple(
        Chosen(
            id=first.ids[i],
            difference=float(difference[i]),
            why=_why(float(difference[i]), best if best != reference else None, i in top, averaged),
        )
        for i in order
        if i in picked
    )


def sample(labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most `n` images, drawn class by class in turn, so that rare classes count; ascending.

    A class that is used up leaves its turn to the others.
    """
    rng = np.random.default_rng(derive(seed, "sample"))
    counts: dict[int, int] = dict(enumerate(np.bincount(labels).tolist()))
    shares = equal_shares(counts, n, sorted(counts))
    taken = [rng.permutation(np.flatnonzero(labels == c))[: shares[c]] for c in counts if counts[c]]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *taken]))


def _of_truth(arm: str, repetitions: Sequence[Predictions], first: Predictions) -> NDArray[np.float64]:
    """Mean probability of the true class, float64 (n,), in the order of `first`."""
    wanted = set(first.ids)
    whole = [p.in_order(first.ids) for p in repetitions if wanted <= set(p.ids)]
    if not whole:
        raise ValueError(f"arm {arm} has no predictions of the images that the reference predicted")
    rows = np.arange(len(first))
    of_truth = [p.probabilities[rows, first.labels].astype(np.float64) for p in whole]
    return np.asarray(np.mean(of_truth, axis=0))


def _why(difference: float, best: str | None, is_top: bool, averaged: bool) -> str:
    mean = " on average" if averaged else ""
    if best is None:
        what = f"p(true) of the arms differs by {difference:.2f}{mean}"
    else:
        sign = "+" if difference >= 0 else "\N{MINUS SIGN}"
        what = f"p(true) {sign}{abs(difference):.2f}{mean} with {best}"
    return f"most changed: {what}" if is_top else f"most changed of its class: {what}"
