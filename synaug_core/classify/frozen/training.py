"""One training of `training: frozen`: from the features of images and their augmented views to the head whose strength
the validation images choose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from synaug_core import code_reach, digests, errors, seeds
from synaug_core.classify import prior, scores, trained
from synaug_core.classify.frozen.features import backbone_of, features_of, features_of_view
from synaug_core.classify.frozen.head import DEFAULT_STRENGTH, STRENGTHS, Head, image_weights, in_row_space, solve
from synaug_core.classify.frozen.oversampling import Points, make_points, plan_points
from synaug_core.classify.model import Classifier, build

if TYPE_CHECKING:
    from synaug_core.classify.training import TrainingJob

__all__ = ["train_head"]

_RISES = 2
"""The path of strengths ends after so many in a row whose loss on the validation images is above the least one: the
strongest take longest to solve, and are the last that few images call for."""


@dataclass
class _Course:
    """A training between two of its parts: an augmented view of all images, or a head of one strength."""

    job: TrainingJob
    device: torch.device
    model: Classifier
    points: Points
    """The images and, after them, the points that the arm adds among their features."""
    row_weights: Tensor
    """Of the points in the loss, float64."""
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
        points = plan_points(train, job.arm.oversampling)
        weights, drawn_prior = image_weights(job.config, job.arm, points)
        is_adjusted = job.arm.loss == "balanced_softmax"
        return cls(
            job=job,
            device=device,
            model=model.to(device).eval(),
            points=points,
            row_weights=weights,
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
        """Standardised float64 features, labels (or shares of classes) and weights of all rows that weigh something:
        the images as they are, float32 (n, d), and their views, each with the points that the arm adds: the same draws
        of their features."""
        share = self.job.config.augmentation.probability if self.views else 0.0
        parts = [(features, 1 - share), *((view.to(self.device), share / len(self.views)) for view in self.views)]
        parts = [(part, part_share) for part, part_share in parts if part_share > 0]
        weights = torch.cat([part_share * self.row_weights for _, part_share in parts])
        used = weights > 0
        seed = seeds.derive(self.job.batch_seed, "oversampling")
        backbone, arm = backbone_of(self.model), self.job.arm
        standardised = [backbone.standardise(part.double()) for part, _ in parts]
        if arm.oversampling is not None:
            standardised = [make_points(part, self.points, arm.oversampling, seed) for part in standardised]
        shares = self.points.label_shares()
        labels = self.points.labels.repeat(len(parts)) if shares is None else shares.repeat(len(parts), 1)
        labels = labels[used]
        return torch.cat(standardised)[used.to(self.device)], labels.to(self.device), weights[used].to(self.device)

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

    @property
    def is_past_best(self) -> bool:
        """Whether the loss on the validation images has been above its least value for `_RISES` strengths."""
        losses = [e.val_balanced_loss for e in self.evaluations if e.val_balanced_loss is not None]
        return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= _RISES

    def solve_path(self, features: Tensor, val: Tensor) -> Iterator[None]:
        """A head of each strength, from the weakest, each from where the one before ended, until `is_past_best`."""
        standardised, labels, weights = self.rows(features)
        if not bool(standardised.isfinite().all()):
            raise errors.DivergenceError(f"arm {self.job.arm.name}: the frozen features are not finite")
        coordinates, basis = in_row_space(standardised)
        coordinates = coordinates.float()
        is_adjusted = self.job.arm.loss == "balanced_softmax"
        for strength in self.strengths[len(self.heads) :]:
            if self.is_past_best:
                return
            head, loss = solve(
                coordinates,
                labels,
                weights,
                classes=len(self.job.images.classes),
                strength=strength,
                start=self.heads[-1].projected(basis) if self.heads else None,
                adjustment=prior.log_ratios(self.drawn_prior) if is_adjusted else None,
                label_smoothing=self.job.config.label_smoothing,
            )
            head = head.lifted(basis)
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
    images. For each of `STRENGTHS`, until the loss on the validation images rises, the head is the solution of `solve`;
    the one of least class-balanced loss on the validation images is kept, and without these the one of
    `DEFAULT_STRENGTH`. A step of the history is a strength.
    Nothing is random but the choice of the views, and of the points of an arm with oversampling.

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
    backbone = backbone_of(course.model)
    backbone.fit(features[is_real.to(course.device)] if bool(is_real.any()) else features)
    course.tick()
    while len(course.views) < course.view_count:
        course.views.append(course.augmented_view(len(course.views)))
        after_part()
    for _ in course.solve_path(features, backbone.standardise(val_features.double())):
        after_part()
    return course.finish()


def _key(job: TrainingJob) -> str:
    """What a checkpoint must agree with to be gone on from."""
    tensors = [t for s in (job.images, job.val) for t in s.tensors()]
    data = [digests.of_bytes(t.cpu().numpy().tobytes()) for t in tensors]
    settings = [job.config.model_dump(mode="json", exclude={"steps"}), job.arm.training_settings()]
    surroundings = [job.init_seed, job.batch_seed, str(job.device), list(job.images.classes)]
    return digests.of_value([settings, data, surroundings, code_reach.module_version(__name__)])
