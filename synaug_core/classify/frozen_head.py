"""`training: frozen`: a pretrained backbone whose weights stay as they are, and the linear head on its features.

From top to bottom: the features of images, remembered within a process; the convex problem and its solution; and one
training, from the features of each image and its augmented views to the head whose strength the validation images
choose.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core import code_reach, digests, errors, seeds
from synaug_core.classify import optimisation, prior, sampling, scores, trained
from synaug_core.classify.augment import augment
from synaug_core.classify.model import Classifier, as_float, build
from synaug_core.config import ArmConfig, AugmentationConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.nets.shown import Standardised

if TYPE_CHECKING:
    from synaug_core.classify.training import TrainingJob

__all__ = [
    "BATCH",
    "DEFAULT_STRENGTH",
    "FIRST_STRENGTH",
    "STRENGTHS",
    "FeatureCache",
    "Head",
    "features_of",
    "features_of_view",
    "image_weights",
    "predict_logits",
    "solve",
    "solve_first",
    "train_head",
    "weigh",
]

BATCH = 32
"""Images of one pass, always: a smaller last batch is filled up, because sums in batches of another size differ in
their last digit. So an image has the same features in whatever company it comes."""
_AT_ONCE = 4096
"""Images whose features are in memory together where a set is predicted."""
_CACHE_BYTES = 512 * 2**20
_PATIENCE = 1.0
"""Seconds after which who waits for features of others looks again."""
STRENGTHS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""The values of C among which the validation images choose: the larger, the closer the head follows the training
images. C multiplies the loss, whose weights add up to the number of real training images, against half the squared
weights, as in scikit-learn."""
DEFAULT_STRENGTH = 3e-3
"""C where there is no validation image."""
_ABSENT = 20.0
"""Nats by which the bias of a class without images lies below the mean of the others."""
_GRADIENT, _CHANGE, _ITERATIONS = 1e-6, 1e-10, 1000
"""Where the search for a solution ends: the largest entry of the gradient, the change in a step, the steps. A smaller
change is near the rounding of the loss, and the line search then tries many times for nothing."""


class FeatureCache:
    """Features of images by what they are of, the least recently used dropped first.

    Args:
        most_bytes: that the features may take.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._rows: OrderedDict[bytes, Tensor] = OrderedDict()
        self._claimed: set[bytes] = set()
        self._lock = threading.Condition()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: bytes) -> Tensor | None:
        """The features under a key, float32 (d,) on the CPU; None where there are none."""
        with self._lock:
            row = self._rows.get(key)
            if row is not None:
                self._rows.move_to_end(key)
            return row

    @contextlib.contextmanager
    def claiming(self, keys: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
        """Within the block, nobody else who asks computes these features: at most so many of the keys, those that are
        neither there nor claimed. Where others have claimed all that are lacking, it waits until they are done with
        some, and there are none."""
        with self._lock:
            free = [key for key in keys if key not in self._rows and key not in self._claimed][:most]
            if not free and any(key not in self._rows for key in keys):
                self._lock.wait(timeout=_PATIENCE)
            self._claimed.update(free)
        try:
            yield free
        finally:
            with self._lock:
                self._claimed.difference_update(free)
                self._lock.notify_all()

    def put(self, key: bytes, row: Tensor) -> None:
        """Keep features, float32 (d,)."""
        row = row.detach().cpu().clone()
        with self._lock:
            if key in self._rows:
                return
            self._rows[key] = row
            self.bytes += row.nbytes
            while self.bytes > self.most_bytes:
                _, dropped = self._rows.popitem(last=False)
                self.bytes -= dropped.nbytes


_cache = FeatureCache(_CACHE_BYTES)


def features_of(
    model: Classifier,
    images: Tensor,
    *,
    cache: FeatureCache | None = _cache,
    after_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """The frozen backbone's features, as they are before the head standardises them.

    An image has the same features bit for bit whether they were remembered or not.

    Args:
        model: of `training: frozen`, where it is to be computed; in evaluation mode afterwards.
        images: uint8 (n, c, h, w).
        cache: where features are remembered, by the image's bytes and all that they depend on; None: nowhere.
        after_batch: called after each batch that was computed; may raise.

    Returns:
        float32 (n, d), where the model is.
    """
    identity = _identity(model)
    keys = [hashlib.sha256(identity + image).digest() for image in _bytes_of_each(images)]

    def compute(rows: list[int]) -> Tensor:
        return _pass(model, images[rows].to(model.mean.device))

    return _recall(model, keys, compute, cache, after_batch)


def features_of_view(
    model: Classifier,
    images: Tensor,
    number: int,
    augmentation: AugmentationConfig,
    kind: Literal["traditional", "strong"],
    *,
    cache: FeatureCache | None = _cache,
    after_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """The features of one augmented view of each image; every image is changed.

    What a view is depends on the image, its number and the augmentation alone: trainings of all arms and repetitions
    have the same views of an image, and the backbone is shown them once.

    Args:
        model: as in `features_of`.
        images: uint8 (n, c, h, w).
        number: of the view, 0 or more.
        augmentation: what is done; its share of the images plays no part.
        kind: likewise.
        cache: as in `features_of`.
        after_batch: likewise.

    Returns:
        float32 (n, d), where the model is.
    """
    always = augmentation.model_copy(update={"probability": 1.0})
    identity = _identity(model) + repr([number, kind, always.model_dump()]).encode()
    keys = [hashlib.sha256(identity + image).digest() for image in _bytes_of_each(images)]
    device = model.mean.device

    def compute(rows: list[int]) -> Tensor:
        views = []
        for row in rows:
            stream = seeds.stream(int.from_bytes(keys[row][:7], "big"), device)
            views.append(augment(as_float(images[row : row + 1].to(device)), always, stream, kind))
        return _pass(model, torch.cat(views))

    return _recall(model, keys, compute, cache, after_batch)


def _bytes_of_each(images: Tensor) -> Iterator[bytes]:
    for image in images.cpu().contiguous().numpy():
        yield image.tobytes()


def _recall(
    model: Classifier,
    keys: Sequence[bytes],
    compute: Callable[[list[int]], Tensor],
    cache: FeatureCache | None,
    after_batch: Callable[[], None],
) -> Tensor:
    """A row for each key, float32 (n, d), from the cache or computed; equal keys are computed once."""
    model.eval()
    device = model.mean.device
    if not keys:
        return torch.zeros(0, model.width, device=device)
    cache = FeatureCache(_CACHE_BYTES) if cache is None else cache
    places = {key: place for place, key in reversed(list(enumerate(keys)))}
    rows: dict[bytes, Tensor] = {}
    while lacking := [key for key in places if key not in rows]:
        rows |= {key: row for key in lacking if (row := cache.get(key)) is not None}
        with cache.claiming([key for key in lacking if key not in rows], BATCH) as claimed:
            if claimed:
                computed = compute([places[key] for key in claimed]).cpu()
                rows |= dict(zip(claimed, computed, strict=True))
                for key in claimed:
                    cache.put(key, rows[key])
                after_batch()
    return torch.stack([rows[key] for key in keys]).to(device)


def _backbone(model: Classifier) -> Standardised:
    if not isinstance(model.backbone, Standardised):
        raise TypeError("a classifier of `training: frozen` is needed")
    return model.backbone


def _pass(model: Classifier, images: Tensor) -> Tensor:
    """Features of up to `BATCH` images, uint8 or float in [0, 1], in a batch of exactly that many."""
    filling = images.new_zeros(BATCH - len(images), *images.shape[1:])
    with torch.no_grad():
        features: Tensor = _backbone(model).features(model.normalised(torch.cat([images, filling])))
    return features.float()[: len(images)]


def _identity(model: Classifier) -> bytes:
    """Equal where the same image has the same features."""
    digest = hashlib.sha256()
    shown = None if model.resize is None else list(model.resize.matrix.shape)
    architecture = repr(model.backbone)  # equal weights may stand in networks of other strides
    digest.update(repr([shown, architecture, str(model.mean.device), torch.get_num_threads()]).encode())
    for tensor in (model.mean, model.std, *_backbone(model).features.state_dict().values()):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()


def predict_logits(model: Classifier, images: Tensor) -> Tensor:
    """Float32 logits (n, classes) of uint8 images (n, c, h, w), from features that may be remembered."""
    backbone = _backbone(model)
    with torch.no_grad():
        parts = [model.head(backbone.standardise(features_of(model, p))) for p in torch.split(images, _AT_ONCE)]
    return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class Head:
    """Weights and biases of a linear classifier.

    Attributes:
        weight: float64 (classes, d).
        bias: float64 (classes,).
    """

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Float64 (n, d) to float64 (n, classes)."""
        return features @ self.weight.T + self.bias


def solve(
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    classes: int,
    strength: float,
    start: Head | None = None,
    adjustment: Tensor | None = None,
    label_smoothing: float = 0.0,
    gradient: float = _GRADIENT,
) -> tuple[Head, float]:
    """Multinomial logistic regression with an L2 penalty on the weights, not on the biases.

    The minimum of `strength * sum_i weights_i * loss_i + |W|^2 / 2`, a convex problem with one solution, by L-BFGS with
    a strong Wolfe line search in float64 (Liu and Nocedal, "On the limited memory BFGS method for large scale
    optimization", 1989). It is the problem of scikit-learn's `LogisticRegression(C=strength)` with sample weights; of
    two classes that keeps one vector, the difference of these two, and needs twice the C for it.

    Args:
        features: float64 (n, d), n >= 1, on one scale.
        labels: int64 (n,).
        weights: float64 (n,), not negative, of each row in the loss.
        classes: number of classes; those without weight get no weights and a low bias.
        strength: C, above 0.
        start: from where to search; None: from 0. It changes how long it takes, and the solution in its last digits.
        adjustment: float (classes,), added to the logits in the loss (logit adjustment, arXiv 2007.07314).
        label_smoothing: share of each label that is spread over all classes with images.
        gradient: the search ends where the largest entry of the objective's gradient is below it.

    Returns:
        The head, and its weighted mean loss in nats without the penalty.

    Raises:
        DivergenceError: features, or the loss, that are not finite.
    """
    total = weights.sum()
    present = torch.zeros(classes, dtype=torch.float64, device=weights.device).index_add_(0, labels, weights) > 0
    position = torch.cumsum(present, 0) - 1
    targets = position[labels].clamp_min(0)
    shift = None if adjustment is None else adjustment.to(features)[present]
    parameters = features.new_zeros(int(present.sum()), features.shape[1] + 1)
    if start is not None:
        parameters = torch.cat([start.weight, start.bias[:, None]], dim=1)[present]
    parameters = parameters.clone().requires_grad_()

    def mean_loss() -> Tensor:
        logits = features @ parameters[:, :-1].T + parameters[:, -1]
        losses = F.cross_entropy(
            logits if shift is None else logits + shift, targets, reduction="none", label_smoothing=label_smoothing
        )
        return (weights * losses).sum() / total

    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=_ITERATIONS,
        max_eval=2 * _ITERATIONS,
        tolerance_grad=gradient,
        tolerance_change=_CHANGE,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = mean_loss() + parameters[:, :-1].square().sum() / (2 * strength * total)
        torch.autograd.backward(objective)
        return objective

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch gives it no types
    with torch.no_grad():
        loss = float(mean_loss())
        if not (parameters.isfinite().all() and loss < float("inf")):
            raise errors.DivergenceError("the head of the frozen features has no finite solution")
        weight = features.new_zeros(classes, features.shape[1])
        bias = features.new_full((classes,), float(parameters[:, -1].mean()) - _ABSENT)
        weight[present], bias[present] = parameters[:, :-1].detach(), parameters[:, -1].detach()
    return Head(weight, bias), loss


FIRST_STRENGTH = 1e-3
"""C of the head that a fine-tuning begins with."""
_LEAST_SPREAD = 0.1


def solve_first(
    features: Tensor,
    train: ImageSet,
    weights: Tensor,
    *,
    adjustment: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Head, float]:
    """The head that a fine-tuning begins with, of features as they are: what training all layers at once would do to
    good features while the head is still random is spared (Kumar et al., "Fine-Tuning can Distort Pretrained Features",
    arXiv 2202.10054).

    It is that of `solve` on the features standardised by the real images, at `FIRST_STRENGTH`, with the
    standardisation folded into its weights. A feature that hardly differs between the images, by less than a tenth of
    what the median feature does, is divided by that tenth: once trained, it may differ more.

    Args:
        features: float32 (n, d), n >= 1, of the training images as they are.
        train: the n images.
        weights: float64 (n,), of each in the loss.
        adjustment: as for `solve`.
        label_smoothing: likewise.

    Returns:
        The head, and its weighted mean loss in nats.

    Raises:
        DivergenceError: features that are not finite.
    """
    is_real = (~train.is_synthetic()).to(features.device)
    double = features.double()
    if not bool(double.isfinite().all()):
        raise errors.DivergenceError("the features of the pretrained backbone are not finite")
    real = double[is_real] if bool(is_real.any()) else double
    mean, deviation = real.mean(dim=0), real.std(dim=0, correction=0)
    deviation = deviation.clamp_min(max(_LEAST_SPREAD * float(deviation.median()), 1e-6))
    head, loss = solve(
        (double - mean) / deviation,
        train.labels.to(features.device),
        weights.to(features.device),
        classes=len(train.classes),
        strength=FIRST_STRENGTH,
        adjustment=adjustment,
        label_smoothing=label_smoothing,
    )
    weight = head.weight / deviation
    return Head(weight, head.bias - weight @ mean), loss


def image_weights(config: ClassifierConfig, arm: ArmConfig, train: ImageSet) -> tuple[Tensor, Tensor]:
    """What each training image weighs in the loss, and the prior that the head learns from it.

    An image weighs what the loop would make of it in the end: its share of the draws (balanced or not, at least
    `arm.real_share` of each class real), times its weight and that of its class. They add up to the number of real
    images, so that C means the same in every arm.

    Args:
        config: class weights.
        arm: sampling, real share, weight of synthetic images.
        train: n >= 1 images.

    Returns:
        float64 (n,), and float64 (classes,) with the sum 1.
    """
    classes = len(train.classes)
    one_step = config.model_copy(update={"steps": 1})  # shares of draws do not depend on how many are made
    shares = sampling.sampler_of(one_step, arm, train, 0, torch.device("cpu")).shares()
    by_image = optimisation.image_weights(arm, train, torch.device("cpu"))
    by_class = optimisation.class_weights(config, train.labels, classes, balanced_draws=arm.sampling != "natural")
    drawn_prior = prior.class_prior(
        train.labels, classes, shares=shares, image_weights=by_image, class_weights=by_class
    )
    return weigh(train, shares, by_image, by_class), drawn_prior


def weigh(train: ImageSet, shares: Tensor, by_image: Tensor | None, by_class: Tensor | None) -> Tensor:
    """What each image weighs in the loss: its share of the draws times its weight and that of its class.

    Args:
        train: n images.
        shares: float64 (n,).
        by_image: (n,), on the CPU; None: all alike.
        by_class: (classes,), likewise.

    Returns:
        float64 (n,) with the number of real images as sum.
    """
    weights = shares.double()
    for factor in (by_image, None if by_class is None else by_class[train.labels]):
        weights = weights if factor is None else weights * factor.double()
    real_count = int((~train.is_synthetic()).sum()) or len(train)
    return weights * (real_count / weights.sum())


@dataclass
class _Course:
    """A training between two of its parts: an augmented view of all images, or a head of one strength."""

    job: TrainingJob
    device: torch.device
    model: Classifier
    image_weights: Tensor
    drawn_prior: Tensor
    learnt_prior: Tensor
    """The share of each class that the logits have learnt."""
    start_time: float
    views: list[Tensor] = field(default_factory=list)
    """Features of the augmented views so far, float32 (n, d) on the CPU."""
    heads: list[Head] = field(default_factory=list)
    evaluations: list[trained.Evaluation] = field(default_factory=list)

    @classmethod
    def start(cls, job: TrainingJob) -> _Course:
        device = torch.device(job.device)
        if device.type == "cuda":
            torch.backends.cudnn.deterministic = True  # same inputs, same bytes
        train = job.images
        unset = (0.0,) * train.channels  # a pretrained backbone brings its own
        model = build(
            job.config,
            channels=train.channels,
            size=train.size,
            classes=train.classes,
            seed=job.init_seed,
            mean=unset,
            std=unset,
        )
        weights, drawn_prior = image_weights(job.config, job.arm, train)
        is_adjusted = job.arm.loss == "balanced_softmax"
        return cls(
            job=job,
            device=device,
            model=model.to(device).eval(),
            image_weights=weights,
            drawn_prior=drawn_prior,
            learnt_prior=prior.equal_shares(drawn_prior) if is_adjusted else drawn_prior,
            start_time=time.monotonic(),
        )

    @property
    def view_count(self) -> int:
        """Augmented views of each image."""
        augmentation = self.job.config.augmentation
        return self.job.config.views if self.job.arm.augmentation != "none" and augmentation.probability > 0 else 0

    @property
    def strengths(self) -> tuple[float, ...]:
        """The values of C that are tried."""
        return STRENGTHS if len(self.job.val) else (DEFAULT_STRENGTH,)

    def tick(self) -> None:
        """Tell how far it is, in the steps that the caller reckons with.

        Raises:
            DeadlineError: the deadline passed.
        """
        job = self.job
        passed = time.monotonic() - self.start_time
        parts_done, parts = len(self.views) + len(self.heads), self.view_count + len(self.strengths)
        if job.deadline is not None and passed > job.deadline:
            raise errors.DeadlineError(
                f"arm {job.arm.name}: the training passed {job.deadline:g} s in part {parts_done + 1} of {parts}"
            )
        steps = parts if job.config.steps == "auto" else job.config.steps
        latest = self.evaluations[-1].model_dump(exclude={"step"}, exclude_none=True) if self.evaluations else {}
        job.progress(steps * parts_done // parts, steps, **{name: float(value) for name, value in latest.items()})

    @property
    def view_numbers(self) -> list[int]:
        """Which views of each image this training has: of twice as many, so that repetitions differ; the arms of one
        repetition have the same."""
        stream = seeds.stream(seeds.derive(self.job.init_seed, "views"))
        return sorted(torch.randperm(2 * self.view_count, generator=stream)[: self.view_count].tolist())

    def augmented_view(self, number: int) -> Tensor:
        """Features of the training's view `number` of all training images, float32 (n, d) on the CPU.

        Every image is changed here: the share that stays as it is has its own rows."""
        job, kind = self.job, self.job.arm.augmentation
        if kind == "none":
            raise ValueError(f"arm {job.arm.name} augments no image")
        return features_of_view(
            self.model,
            job.images.images,
            self.view_numbers[number],
            job.config.augmentation,
            kind,
            after_batch=self.tick,
        ).cpu()

    def rows(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Standardised float64 features, labels and weights of all rows that weigh something: the images as they are,
        float32 (n, d), and their views."""
        share = self.job.config.augmentation.probability if self.views else 0.0
        parts = [(features, 1 - share), *((view.to(self.device), share / len(self.views)) for view in self.views)]
        weights = torch.cat([part_share * self.image_weights for _, part_share in parts])
        used = weights > 0
        stacked = torch.cat([part for part, _ in parts])[used.to(self.device)].double()
        labels = self.job.images.labels.repeat(len(parts))[used]
        backbone = _backbone(self.model)
        return backbone.standardise(stacked), labels.to(self.device), weights[used].to(self.device)

    def evaluate(self, head: Head, loss: float, val: Tensor) -> trained.Evaluation:
        """Scores of a head, with the prior correction that it would have, on float64 validation features."""
        evaluation = trained.Evaluation(step=len(self.heads), train_loss=loss)
        if not len(val):
            return evaluation
        config, labels = self.job.config, self.job.val.labels.to(self.device)
        logits, ratios = head.logits(val), prior.log_ratios(self.learnt_prior).to(self.device)
        strength = prior.initial_strength(config.prior_correction)
        chosen = {}
        if config.prior_correction == "auto":
            strength = prior.choose_strength(logits, labels, ratios)
            chosen = {"prior_correction": strength}
        return evaluation.model_copy(update=scores.validation_scores(logits - strength * ratios, labels) | chosen)

    def solve_all(self, features: Tensor, val: Tensor) -> Iterator[None]:
        """A head of each strength, from the weakest to the strongest, each from where the one before ended."""
        standardised, labels, weights = self.rows(features)
        if not bool(standardised.isfinite().all()):
            raise errors.DivergenceError(f"arm {self.job.arm.name}: the frozen features are not finite")
        is_adjusted = self.job.arm.loss == "balanced_softmax"
        for strength in self.strengths[len(self.heads) :]:
            head, loss = solve(
                standardised,
                labels,
                weights,
                classes=len(self.job.images.classes),
                strength=strength,
                start=self.heads[-1] if self.heads else None,
                adjustment=prior.log_ratios(self.drawn_prior) if is_adjusted else None,
                label_smoothing=self.job.config.label_smoothing,
            )
            self.heads.append(head)
            self.evaluations.append(self.evaluate(head, loss, val))
            self.report(self.evaluations[-1])
            yield

    def report(self, evaluation: trained.Evaluation) -> None:
        """Tell the caller, who may raise."""
        if self.job.on_evaluation is not None and evaluation.val_balanced_accuracy is not None:
            self.job.on_evaluation(evaluation.step, evaluation.val_balanced_accuracy)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on bit by bit."""
        return {
            "views": self.views,
            "heads": [[head.weight.cpu(), head.bias.cpu()] for head in self.heads],
            "evaluations": [e.model_dump() for e in self.evaluations],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.views = list(state["views"])
        self.heads = [Head(weight.to(self.device), bias.to(self.device)) for weight, bias in state["heads"]]
        self.evaluations = [trained.Evaluation(**e) for e in state["evaluations"]]
        for past in self.evaluations:
            self.report(past)

    def finish(self) -> trained.TrainedClassifier:
        """The classifier with the best head: of the least class-balanced loss on the validation images, of equals the
        weakest."""
        job, losses = self.job, [e.val_balanced_loss for e in self.evaluations]
        best = min(range(len(losses)), key=lambda i: float("inf") if (loss := losses[i]) is None else loss)
        chosen = self.evaluations[best].prior_correction
        strength = prior.initial_strength(job.config.prior_correction) if chosen is None else chosen
        with torch.no_grad():
            self.model.linear.weight.copy_(self.heads[best].weight)
            self.model.linear.bias.copy_(self.heads[best].bias)
            self.model.prior_shift.copy_(strength * prior.log_ratios(self.learnt_prior))
        history = trained.History(
            evaluations=tuple(self.evaluations),
            best_step=best + 1,
            stopped_at=len(self.evaluations),
            ended="solved",
            prior=tuple(self.learnt_prior.tolist()),
            prior_correction=strength,
            head_strength=self.strengths[best],
            seconds=time.monotonic() - self.start_time,
        )
        images = job.images
        return trained.TrainedClassifier(
            self.model.eval(), job.config, images.classes, images.channels, images.size, history
        )


def train_head(job: TrainingJob) -> trained.TrainedClassifier:
    """Train a classifier whose backbone is frozen.

    The features of every training image, and of `config.views` augmented views of it where the arm augments, are
    computed once for all trainings in a process; they are standardised by the mean and deviation of the real training
    images. For each of `STRENGTHS` the head is the solution of `solve`; the one of least class-balanced loss on the
    validation images is kept, and without these the one of `DEFAULT_STRENGTH`. A step of the history is a strength.
    Nothing is random but the choice of the views.

    Args:
        job: of checked images; as in `training.train`.

    Raises:
        ValueError: an arm with candidates.
        ConfigError: an arm that needs a training loop.
        ConfigError, WeightsError: as `model.build`.
        DivergenceError: features or a loss that are not finite.
        DeadlineError: the deadline passed.
    """
    if job.arm.candidates:
        raise ValueError(f"arm {job.arm.name} is more than one training; see ArmConfig.become")
    if (obstacle := job.config.obstacle_to(job.arm)) is not None:
        raise errors.ConfigError(f"arm {job.arm.name}: {obstacle}")
    course = _Course.start(job)
    key = _key(job) if job.checkpoint is not None else ""
    saved = job.checkpoint.load() if job.checkpoint is not None else None
    if saved is not None and saved.get("key") == key:
        course.restore(saved)

    def after_part() -> None:
        if job.checkpoint is not None:
            job.checkpoint.offer(lambda: {"key": key, **course.state()})
        course.tick()

    features, val_features = (
        features_of(course.model, images.images, after_batch=course.tick) for images in (job.images, job.val)
    )
    is_real = ~job.images.is_synthetic()
    backbone = _backbone(course.model)
    backbone.fit(features[is_real.to(course.device)] if bool(is_real.any()) else features)
    course.tick()
    while len(course.views) < course.view_count:
        course.views.append(course.augmented_view(len(course.views)))
        after_part()
    for _ in course.solve_all(features, backbone.standardise(val_features.double())):
        after_part()
    return course.finish()


def _key(job: TrainingJob) -> str:
    """What a checkpoint must agree with to be gone on from."""
    tensors = [t for s in (job.images, job.val) for t in (s.images, s.labels, s.is_synthetic())]
    data = [digests.of_bytes(t.cpu().numpy().tobytes()) for t in tensors]
    settings = [job.config.model_dump(mode="json", exclude={"steps"}), job.arm.training_settings()]
    surroundings = [job.init_seed, job.batch_seed, str(job.device), list(job.images.classes)]
    return digests.of_value([settings, data, surroundings, code_reach.module_version(__name__)])
