"""Attacks: changes of a test image, each value by at most eps, that make a classifier wrong.

Images are float in [0, 1] and the normalisation is inside the model, so that eps means the same for every model. All
attacks raise the log-odds against the true class, `log sum_j!=y exp z_j - z_y`: their gradient is that of the
cross-entropy divided by `1 - p(y)`, of equal sign, and it does not vanish where the classifier is sure.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from synaug_core.classify.model import Classifier

__all__ = [
    "Response",
    "StrongestAttack",
    "ascend",
    "fgsm",
    "freeze_copy",
    "gradient_direction",
    "lowering",
    "measure_response",
    "pgd",
    "random_start",
    "sign_direction",
]

Direction = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Response:
    """A model's response to some images, each of which has a label.

    Attributes:
        images: float (n, c, h, w), values in [0, 1].
        fooled: bool (n,): the likeliest class is not the label.
        log_odds: float (n,): of the other classes together, against the label.
        gradient: of `log_odds`, shape of the images; None where it was not computed.
    """

    images: Tensor
    fooled: Tensor
    log_odds: Tensor
    gradient: Tensor | None = None

    def take(self, index: Tensor) -> Response:
        """The response to the images at `index` (int64)."""
        gradient = None if self.gradient is None else self.gradient[index]
        return Response(self.images[index], self.fooled[index], self.log_odds[index], gradient)


class StrongestAttack:
    """The strongest changed images so far: one that fools before one that does not, then by log-odds.

    Attributes:
        images: float (n, c, h, w), values in [0, 1].
        fooled: bool (n,): some image tried was taken for another class.
    """

    def __init__(self, first: Response) -> None:
        self.images, self.fooled, self._log_odds = first.images, first.fooled, first.log_odds

    def consider(self, response: Response) -> None:
        """Keep each image that is stronger than the one before."""
        is_stronger = response.fooled & ~self.fooled | (response.fooled == self.fooled) & (
            response.log_odds > self._log_odds
        )
        self.images = torch.where(is_stronger.view(-1, 1, 1, 1), response.images, self.images)
        self._log_odds = torch.where(is_stronger, response.log_odds, self._log_odds)
        self.fooled = self.fooled | response.fooled


def freeze_copy(model: Classifier, device: torch.device | str | None = None) -> Classifier:
    """A copy to attack: in evaluation mode (no dropout, no statistics of the batch), its parameters without gradient.

    The model itself is not touched.
    """
    copied = copy.deepcopy(model)
    return (copied if device is None else copied.to(device)).eval().requires_grad_(False)


def measure_response(model: Classifier, images: Tensor, labels: Tensor, *, gradient: bool = True) -> Response:
    """Classify the images: one pass forward, and one back for the gradient.

    Args:
        model: from `freeze_copy`.
        images: float (n, c, h, w), values in [0, 1].
        labels: int64 (n,).
        gradient: whether it is needed.
    """
    x = images.detach().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        logits = model(x)
        true = labels.view(-1, 1)
        other_classes = logits.scatter(1, true, -torch.inf).logsumexp(dim=1)
        log_odds = other_classes - logits.gather(1, true).squeeze(1)
    gradients = torch.autograd.grad(log_odds.sum(), x)[0] if gradient else None
    return Response(images.detach(), logits.detach().argmax(dim=1) != labels, log_odds.detach(), gradients)


def sign_direction(gradient: Tensor) -> Tensor:
    """The direction of FGSM and PGD: every value moves as far."""
    return gradient.sign()


def gradient_direction(gradient: Tensor) -> Tensor:
    """The gradient's own direction, of the same Euclidean length as `sign_direction` (root mean square 1)."""
    size = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return gradient / size.clamp_min(torch.finfo(gradient.dtype).tiny)


def ascend(
    model: Classifier,
    first: Response,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    direction: Direction = sign_direction,
) -> Iterator[Response]:
    """Steps uphill from `first`, each put back into the ball of `eps` around `images` and into [0, 1].

    Yields the model's response after each of the steps; only the last comes without its gradient.

    Raises:
        ValueError: `first` without its gradient.
    """
    low, high = (images - eps).clamp_min_(0), (images + eps).clamp_max_(1)
    response = first
    for steps_left in range(steps - 1, -1, -1):
        if response.gradient is None:
            raise ValueError("first: its gradient is needed")
        x = torch.minimum(torch.maximum(response.images + step * direction(response.gradient), low), high)
        response = measure_response(model, x, labels, gradient=steps_left > 0)
        yield response


def fgsm(model: Classifier, clean: Response, labels: Tensor, *, eps: float) -> StrongestAttack:
    """One step of `eps` along the sign of the gradient (Goodfellow et al., arXiv 1412.6572).

    Args:
        model: from `freeze_copy`.
        clean: the images as they are, with their gradient, from `measure_response`.
        labels: int64 (n,).
        eps: largest change of a value, of a range of 1.

    Returns:
        The stronger of the step's end and the image as it is.

    Raises:
        ValueError: `clean` without its gradient.
    """
    if clean.gradient is None:
        raise ValueError("clean: its gradient is needed")
    strongest = StrongestAttack(clean)
    attacked_images = (clean.images + eps * sign_direction(clean.gradient)).clamp_(0, 1)
    strongest.consider(measure_response(model, attacked_images, labels, gradient=False))
    return strongest


def pgd(
    model: Classifier,
    clean: Response,
    labels: Tensor,
    *,
    eps: float,
    steps: int,
    start: Tensor,
    after_fgsm: bool = False,
) -> StrongestAttack:
    """Projected gradient ascent in the L-infinity ball (Madry et al., arXiv 1706.06083), one start.

    Args:
        model: from `freeze_copy`.
        clean: the images as they are, with their gradient, from `measure_response`.
        labels: int64 (n,).
        eps: largest change of a value, of a range of 1.
        steps: number of steps, of a quarter of `eps` each.
        start: where it begins, in the ball, shape of the images; see `random_start`.
        after_fgsm: FGSM has been tried with this `eps` and fooled with none of these images: it is not tried again.

    Returns:
        The strongest among all images on the way, the image as it is and FGSM's: the latter is the end of a walk of
        one step without random start, and with it this attack is nowhere weaker than FGSM.
    """
    strongest = StrongestAttack(clean) if after_fgsm else fgsm(model, clean, labels, eps=eps)
    first = measure_response(model, start, labels)
    strongest.consider(first)
    for response in ascend(model, first, clean.images, labels, eps=eps, step=eps / 4, steps=steps):
        strongest.consider(response)
    return strongest


def lowering(model: Classifier, clean: Response, labels: Tensor, *, eps: float, steps: int) -> StrongestAttack:
    """Lower p(y|x) step after step along its gradient (Niemeijer et al., arXiv 2406.17473), from the image itself.

    The gradient of -p(y|x) is that of the log-odds times p(y) (1 - p(y)), so both point the same way. The length of a
    step (that of PGD's, in the Euclidean norm) and the ball (PGD's) are this project's choice.

    Args and returns as in `pgd`, without FGSM's image.
    """
    strongest = StrongestAttack(clean)
    for response in ascend(
        model, clean, clean.images, labels, eps=eps, step=eps / 4, steps=steps, direction=gradient_direction
    ):
        strongest.consider(response)
    return strongest


def random_start(images: Tensor, noise: Tensor, eps: float) -> Tensor:
    """A point in the ball: `noise`, uniform in [-1, 1] and of the images' shape, times `eps`; kept in [0, 1]."""
    return (images + eps * noise).clamp_(0, 1)
