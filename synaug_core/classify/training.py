"""The one training loop, for every arm, backbone and trial: its state, one step, and the way through all steps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from synaug_core import checkpoints, code_reach, devices, digests, errors, seeds
from synaug_core.classify import budget, normalisation, optimisation, prior, sampling, scores, trained
from synaug_core.classify.augment import augment
from synaug_core.classify.mixing import Targets, mix
from synaug_core.classify.model import Classifier, as_float, batches, build, channel_statistics, shrink_once
from synaug_core.classify.online import Online, is_due
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.progress import Progress, silent
from synaug_core.vocabulary import Precision

__all__ = ["Loop", "TrainingJob", "train"]


_AVERAGED = 0.25
"""Share of the steps, the last ones, over which `keep: average` takes the mean."""
_SMALLEST_PART = 4
"""Images that are normalised apart from the others of their batch; fewer would be normalised by themselves."""


@dataclass(frozen=True)
class TrainingJob:
    """One training of an arm's classifier.

    Attributes:
        config: network, optimiser, steps, early stopping; `steps: auto` is resolved for this arm alone.
        arm: how training images are drawn and changed; its `synthesis` is not looked at, and its `online` only to
            make sure that it is not forgotten.
        images: real images and, joined to them, the arm's synthetic ones.
        val: real images; may be empty.
        init_seed: of the initial weights.
        batch_seed: of the batches, the augmentation and the dropout.
        device: where to compute.
        online: makes further images from those of each batch. The number of steps, and what real images draw, stay
            the same.
        precision: of products and convolutions in the steps (autocast); auto: see `devices.resolve_precision`.
        progress: called after every step.
        checkpoint: keeps the state; an earlier state of the same training is taken up.
        deadline: seconds from the start of the training after which it gives up; None: never.
        on_evaluation: given the step and the validation balanced accuracy after each evaluation; may raise (see
            `pruning.Pruned`). After a resume it is given the evaluations before it again.
    """

    config: ClassifierConfig
    arm: ArmConfig
    images: ImageSet
    val: ImageSet
    init_seed: int
    batch_seed: int
    device: torch.device | str = "cpu"
    online: Online | None = None
    precision: Precision = "auto"
    progress: Progress = silent
    checkpoint: checkpoints.Checkpoint | None = None
    deadline: float | None = None
    on_evaluation: Callable[[int, float], None] | None = None


@dataclass
class Loop:
    """A training between two steps."""

    config: ClassifierConfig
    arm: ArmConfig
    classes: tuple[str, ...]
    device: torch.device
    precision: torch.dtype
    """Of products and convolutions in the steps. What is evaluated or predicted is computed in float32, as where the
    classifier is used."""
    model: Classifier
    optimizer: torch.optim.Optimizer
    images: Tensor
    """Of the size that the network is shown, where that is smaller than the size that they have."""
    size: int
    """That they have, pixels a side."""
    labels: Tensor
    label_shares: Tensor | None
    """Of each class in each image's label, float32 (n, classes), where images belong to several."""
    synthetic: Tensor
    """Bool: the images that were made."""
    val_images: Tensor
    val_labels: Tensor
    sampler: sampling.IndexSampler | sampling.PhasedSampler
    clean: tuple[Tensor, ...]
    """Batches of real images whose statistics the network is evaluated with."""
    noise: torch.Generator
    """Augmentation and dropout."""
    weights: Tensor | None
    """Of classes in the loss."""
    image_weights: Tensor | None
    """Of images in the loss; None: all alike."""
    adjustment: Tensor | None
    """Added to the logits in training, float32 (classes,): the logarithm of the prior in balanced softmax."""
    loss_sum: Tensor
    prior: Tensor
    """The share of each class that the logits have learnt, float64 (classes,)."""
    first_bad: Tensor
    """The first step with a loss that is not finite; `config.steps` + 1: none so far."""
    step: int = 0
    evaluations: list[trained.Evaluation] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_step: int | None = None
    average: dict[str, Tensor] | None = None
    """Mean of the weights over the last steps so far."""
    online: Online | None = None
    online_seed: int = 0
    """Of all that is random about synthetic images; what real images draw stays as without them."""

    @classmethod
    def start(cls, job: TrainingJob) -> Loop:
        """At step 0, with the weights of `job.init_seed`."""
        config, arm, train, val, device = job.config, job.arm, job.images, job.val, torch.device(job.device)
        if device.type == "cuda":
            torch.backends.cudnn.deterministic = True  # same inputs, same bytes
        mean, std = channel_statistics(train)
        model = build(
            config,
            channels=train.channels,
            size=train.size,
            classes=train.classes,
            seed=job.init_seed,
            mean=mean,
            std=std,
        ).to(device)
        balanced = arm.sampling != "natural"
        weights = optimisation.class_weights(config, train.labels, len(train.classes), balanced_draws=balanced)
        image_weights = optimisation.image_weights(arm, train, device)
        sampler = sampling.sampler_of(config, arm, train, seeds.derive(job.batch_seed, "batches"), device)
        label_shares = train.label_shares()
        drawn_prior = prior.class_prior(
            train.labels,
            len(train.classes),
            shares=sampler.shares(),
            label_shares=label_shares,
            image_weights=image_weights,
            class_weights=weights,
        )
        softmax_is_balanced = arm.loss == "balanced_softmax"
        loop = cls(
            config=config,
            arm=arm,
            classes=train.classes,
            device=device,
            precision=devices.resolve_precision(job.precision, device),
            model=model,
            optimizer=optimisation.optimizer(model, config, model.parameter_stages),
            images=shrink_once(model, train.images.to(device)),
            size=train.size,
            labels=train.labels.to(device),
            label_shares=None if label_shares is None else label_shares.to(device),
            synthetic=train.is_synthetic().to(device),
            val_images=shrink_once(model, val.images.to(device)),
            val_labels=val.labels.to(device),
            sampler=sampler,
            clean=()
            if config.normalisation == "trained"
            else sampling.clean_batches(config, arm, train, seeds.derive(job.batch_seed, "normalisation"), device),
            noise=seeds.stream(seeds.derive(job.batch_seed, "noise"), device),
            weights=None if weights is None else weights.to(device),
            image_weights=image_weights,
            adjustment=prior.log_ratios(drawn_prior).float().to(device) if softmax_is_balanced else None,
            loss_sum=torch.zeros((), device=device),
            prior=prior.equal_shares(drawn_prior) if softmax_is_balanced else drawn_prior,
            first_bad=torch.tensor(config.step_count + 1, device=device),
            online=job.online,
            online_seed=seeds.derive(job.batch_seed, "online"),
        )
        loop._correct_prior(prior.initial_strength(config.prior_correction))
        return loop

    def put_head_first(self, train: ImageSet) -> None:
        """Give the network the head that is best for its features as they are, and evaluate it: step 0 of fine-tuning.

        The features are those of an evaluation of the training images without augmentation: without dropout, and with
        the statistics of clean real images, which is also what batches in training are nearest to. Each image weighs
        what its share of the last draws makes of it. Images that are made inside the training come later, from a
        network with this head.

        Raises:
            DivergenceError: features that are not finite.
        """
        from synaug_core.classify.frozen.head import solve_first, weigh

        normalisation.recompute_statistics(self.model, self._clean_batches(), self.model.features)
        self.model.eval()
        with torch.no_grad():
            features = torch.cat([self.model.features(part) for part in batches(self.model, self.images)])
        head, loss = solve_first(
            features,
            train,
            weigh(
                train,
                self.sampler.shares(),
                None if self.image_weights is None else self.image_weights.cpu(),
                None if self.weights is None else self.weights.cpu(),
            ),
            adjustment=self.adjustment,
            label_smoothing=self.config.label_smoothing,
        )
        with torch.no_grad():
            self.model.linear.weight.copy_(head.weight)
            self.model.linear.bias.copy_(head.bias)
        self.loss_sum += loss
        self.evaluate()

    def _clean_batches(self) -> Iterator[Tensor]:
        return (as_float(self.images[index]) for index in self.clean)

    def advance(self) -> None:
        """One optimiser step; nothing is read back from the device."""
        index, real_count = self._real_first(self.sampler.next())
        images, targets = mix(
            self._augmented(as_float(self.images[index]), self.noise),
            Targets(
                self.labels[index],
                None if self.image_weights is None else self.image_weights[index],
                shares=None if self.label_shares is None else self.label_shares[index],
            ),
            self.arm.mixing,
            self.config.mixing_probability,
            self.noise,
        )
        optimisation.set_rates(self.optimizer, optimisation.learning_rate(self.config, self.step))
        self.model.train()
        if self.online is not None and is_due(self.online.config, self.step, self.config.step_count):
            loss = self._loss_with(self.online, index, images, targets, real_count)
        else:
            with devices.autocast(self.device, self.precision):
                logits = self.model.head(self._features(images, real_count), self.noise)
            loss = self._loss(logits, targets)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.step += 1
        self._average()
        value = loss.detach()
        self.loss_sum += value
        bad = torch.where(value.isfinite(), self.config.step_count + 1, self.step)
        self.first_bad = torch.minimum(self.first_bad, bad)

    def _loss_with(self, online: Online, index: Tensor, images: Tensor, targets: Targets, real_count: int) -> Tensor:
        """The weighted mean over the batch's images and those made from it.

        Both go through the network together, so that batch normalisation sees them as it sees synthetic images that
        are part of the training set.
        """
        stream = seeds.stream(seeds.derive(self.online_seed, self.step), self.device)
        synthetic_images, labels = online.make(self.model, index, stream)
        synthetic_images = shrink_once(self.model, synthetic_images)
        inputs = torch.cat([images, self._augmented(synthetic_images, stream)])
        with devices.autocast(self.device, self.precision):
            features = self._features(inputs, real_count)
            real_logits = self.model.head(features[: len(images)], self.noise)
            synthetic = self.model.head(features[len(images) :], stream)
        return self._loss(torch.cat([real_logits, synthetic]), targets.extended(labels, online.config.weight))

    def _real_first(self, index: Tensor) -> tuple[Tensor, int]:
        """A batch with its real images first, and how many they are, where these are normalised apart; elsewhere the
        batch as it is, and nothing is read back from the device."""
        if self.config.normalisation != "split":
            return index, len(index)
        ordered = index[self.synthetic[index].int().argsort(stable=True)]
        return ordered, len(ordered) - int(self.synthetic[ordered].sum())

    def _features(self, images: Tensor, real_count: int) -> Tensor:
        """Pooled features (n, d); real images, the first ones, and the others each by their own batch's moments where
        the configuration says so (AdvProp, Xie et al., arXiv 1911.09665; here the affine parameters are shared)."""
        if (
            self.config.normalisation != "split"
            or min(real_count, synthetic_count := len(images) - real_count) < _SMALLEST_PART
        ):
            return self.model.features(images)
        real_images, synthetic_images = torch.split(images, [real_count, synthetic_count])
        real = self.model.features(real_images)
        with normalisation.untracked(self.model):
            return torch.cat([real, self.model.features(synthetic_images)])

    def _average(self) -> None:
        """Take the newest weights into the mean of the last ones."""
        count = self.step - round((1 - _AVERAGED) * self.config.step_count)
        if self.config.keep != "average" or count < 1:
            return
        weights = {k: v.detach() for k, v in self.model.state_dict().items() if v.is_floating_point()}
        if self.average is None:
            self.average = {k: v.clone() for k, v in weights.items()}
        for name, mean in self.average.items():
            mean.lerp_(weights[name], 1 / count)

    def _augmented(self, images: Tensor, stream: torch.Generator) -> Tensor:
        if self.arm.augmentation == "none":
            return images
        return augment(images, self.config.augmentation, stream, self.arm.augmentation)

    def _loss(self, logits: Tensor, targets: Targets) -> Tensor:
        return optimisation.cross_entropy(
            logits if self.adjustment is None else logits + self.adjustment,
            targets,
            class_weights=self.weights,
            label_smoothing=self.config.label_smoothing,
        )

    def is_evaluation_due(self) -> bool:
        """True every `evaluate_every` steps and after the last one."""
        return self.step % self.config.evaluate_every == 0 or self.step == self.config.step_count

    def evaluate(self) -> trained.Evaluation:
        """Evaluate the losses since the last evaluation and the validation images.

        Raises:
            DivergenceError: a loss that is not finite.
        """
        before = self.evaluations[-1].step if self.evaluations else 0
        bad = int(self.first_bad)
        if bad <= self.step:
            raise errors.DivergenceError(f"arm {self.arm.name}: the training loss is not finite at step {bad}")
        latest = trained.Evaluation(step=self.step, train_loss=float(self.loss_sum) / max(1, self.step - before))
        self.loss_sum.zero_()
        if len(self.val_images) or self._keeps_last:
            with self._as_kept():
                if len(self.val_images):
                    latest = latest.model_copy(update=self._validation_scores())
                best = max((m for e in self.evaluations if (m := self._merit(e)) is not None), default=float("-inf"))
                merit = self._merit(latest)
                if self._keeps_last if merit is None else merit > best:
                    self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
                    self.best_step = self.step
        self.evaluations.append(latest)
        return latest

    def _validation_scores(self) -> dict[str, float | None]:
        (logits, strength), labels = self._val_logits(), self.val_labels
        if not bool(logits.isfinite().all()):
            raise errors.DivergenceError(f"arm {self.arm.name}: the validation loss is not finite at step {self.step}")
        return scores.validation_scores(logits, labels) | {"prior_correction": strength}

    @contextlib.contextmanager
    def _as_kept(self) -> Iterator[None]:
        """Within the block the network is the one that would be kept now: averaged weights, where these are asked for,
        and batch normalisation by the moments of clean real images. The training goes on with its own."""
        former = {k: v.detach().clone() for k, v in self.model.state_dict().items()} if self.average else None
        if self.average:
            self.model.load_state_dict(self.average, strict=False)
        try:
            with normalisation.with_statistics_of(self.model, self._clean_batches(), self.model.features):
                yield
        finally:
            if former:
                self.model.load_state_dict(former)

    @property
    def _keeps_last(self) -> bool:
        """True at the last step where no validation figure chooses the weights."""
        chosen = len(self.val_images) > 0 and self.config.keep not in ("average", "last")
        return not chosen and self.step == self.config.step_count

    def _merit(self, evaluation: trained.Evaluation) -> float | None:
        """What the weights are kept by, the larger the better; the loss where the area is undefined. None where it is
        no validation figure, and before the last phase, whose draws the prior correction is for; the head that is put
        first is for these too."""
        is_early = 0 < evaluation.step <= sampling.first_phase_steps(self.arm, self.config)
        if self.config.keep in ("average", "last") or (is_early and evaluation.step < self.config.step_count):
            return None
        if self.config.keep == "val_macro_auc" and evaluation.val_macro_auc is not None:
            return evaluation.val_macro_auc
        loss = evaluation.val_balanced_loss if self.config.keep == "val_balanced_loss" else evaluation.val_loss
        return None if loss is None else -loss

    def check_ending(self) -> trained.Ending | None:
        """Return why the training is over; None while it goes on."""
        start = max(self.best_step or 0, sampling.first_phase_steps(self.arm, self.config))
        since = sum(e.step > start for e in self.evaluations)
        if self.config.patience is not None and self.best is not None and since >= self.config.patience:
            return "early stop"
        if self.step < self.config.step_count:
            return None
        return "all steps" if len(self.val_images) else "no validation images"

    def progress_values(self) -> dict[str, float]:
        """Values of the last evaluation, for the progress display."""
        if not self.evaluations:
            return {}
        latest = self.evaluations[-1].model_dump(exclude={"step"}, exclude_none=True)
        return {k: float(v) for k, v in latest.items()}

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on bit by bit."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state(),
            "noise": self.noise.get_state(),
            "loss_sum": self.loss_sum,
            "first_bad": self.first_bad,
            "evaluations": [e.model_dump() for e in self.evaluations],
            "best": self.best,
            "best_step": self.best_step,
            "average": self.average,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.restore(state["sampler"])
        self.noise.set_state(state["noise"])
        self.loss_sum = state["loss_sum"].to(self.device)
        self.first_bad = state["first_bad"].to(self.device)
        self.evaluations = [trained.Evaluation(**e) for e in state["evaluations"]]
        self.best = state["best"]
        self.best_step = state["best_step"]
        self.average = state["average"]

    def finish(self, ending: trained.Ending, seconds: float) -> trained.TrainedClassifier:
        """Build the classifier with the weights that are kept."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        best_step = self.step if self.best_step is None else self.best_step
        history = trained.History(
            evaluations=tuple(self.evaluations),
            best_step=best_step,
            stopped_at=self.step,
            ended=ending,
            prior=tuple(self.prior.tolist()),
            prior_correction=self._strength_at(best_step),
            seconds=seconds,
        )
        channels = self.images.shape[1]
        return trained.TrainedClassifier(self.model.eval(), self.config, self.classes, channels, self.size, history)

    def _val_logits(self) -> tuple[Tensor, float | None]:
        """Logits of the validation images with the prior correction that the classifier has from now on, and the
        correction's strength where these images choose it."""
        logits = self._logits(self.val_images)
        if self.config.prior_correction != "auto":
            return logits, None
        uncorrected = logits + self.model.prior_shift
        ratios = prior.log_ratios(self.prior).to(self.device)
        strength = prior.choose_strength(uncorrected, self.val_labels, ratios)
        self._correct_prior(strength)
        return uncorrected - self.model.prior_shift, strength

    def _correct_prior(self, strength: float) -> None:
        self.model.prior_shift.copy_(strength * prior.log_ratios(self.prior))

    def _strength_at(self, step: int) -> float:
        """Strength of the prior correction in the weights of a step."""
        chosen = next((e.prior_correction for e in self.evaluations if e.step == step), None)
        return prior.initial_strength(self.config.prior_correction) if chosen is None else chosen

    def _logits(self, images: Tensor) -> Tensor:
        self.model.eval()
        with torch.no_grad():
            return torch.cat([self.model(part) for part in batches(self.model, images)])


def train(job: TrainingJob) -> trained.TrainedClassifier:
    """Train one classifier for `config.steps` optimiser steps, or until the validation figure stops improving.

    Where the backbone is frozen there are no steps, and `frozen.training.train_head` finds the head.

    Which weights are kept is `config.keep`'s affair; without validation images all steps are made and the last weights
    are kept. The same arguments on the same device with the same number of threads give the same
    bytes, also when the training was killed and went on from its checkpoint. The initial weights depend on `config`
    and `init_seed` alone.

    Raises:
        ValueError: an arm with online synthesis, and nothing to make its images; an arm of several networks.
        DataError: no training image, or sets that do not fit together.
        ConfigError, WeightsError: as `build.build`.
        DivergenceError: the loss is not finite.
        DeadlineError: the deadline passed.
    """
    arm = job.arm
    _check(job.images, job.val)
    if job.config.training == "frozen":
        from synaug_core.classify.frozen.training import train_head

        return train_head(job)
    if (obstacle := job.config.obstacle_to(arm)) is not None:
        raise errors.ConfigError(f"arm {arm.name}: {obstacle}")
    if arm.online is not None and job.online is None:
        raise ValueError(f"arm {arm.name} makes images inside the training loop, and nothing was given to make them")
    if arm.members > 1 or arm.candidates:
        raise ValueError(f"arm {arm.name} is more than one training; see ensemble.train_arm and ArmConfig.become")
    start_time = time.monotonic()
    config = budget.resolve_steps(job.config, (arm,), _real_counts(job.images))
    loop = Loop.start(replace(job, config=config))
    key = _key(loop, job) if job.checkpoint is not None else ""
    saved = job.checkpoint.load() if job.checkpoint is not None else None
    if saved is not None and saved.get("key") == key:
        loop.restore(saved)
    elif config.training == "fine_tuned":
        loop.put_head_first(job.images)
    for past in loop.evaluations:
        _report_evaluation(job, past)
    while (ending := loop.check_ending()) is None:
        if job.deadline is not None and time.monotonic() - start_time > job.deadline:
            raise errors.DeadlineError(f"arm {arm.name}: the training passed {job.deadline:g} s at step {loop.step}")
        loop.advance()
        if loop.is_evaluation_due():
            _report_evaluation(job, loop.evaluate())
        if job.checkpoint is not None:
            job.checkpoint.offer(lambda: {"key": key, **loop.state()})
        job.progress(loop.step, config.step_count, **loop.progress_values())
    return loop.finish(ending, time.monotonic() - start_time)


def _real_counts(train: ImageSet) -> dict[str, int]:
    is_real = ~train.is_synthetic()
    return (train.take(is_real) if bool(is_real.any()) else train).counts()


def _report_evaluation(job: TrainingJob, evaluation: trained.Evaluation) -> None:
    if job.on_evaluation is not None and evaluation.val_balanced_accuracy is not None:
        job.on_evaluation(evaluation.step, evaluation.val_balanced_accuracy)


def _check(train: ImageSet, val: ImageSet) -> None:
    if not len(train):
        raise errors.DataError("there is no training image")
    if train.classes != val.classes:
        raise errors.DataError("the training and validation images have different classes")
    if len(val) and train.images.shape[1:] != val.images.shape[1:]:
        raise errors.DataError("the training and validation images have different shapes")


def _key(loop: Loop, job: TrainingJob) -> str:
    """What a checkpoint must agree with to be gone on from."""
    tensors = [t for s in (job.images, job.val) for t in s.tensors()]
    data = [digests.of_bytes(t.cpu().numpy().tobytes()) for t in tensors]
    settings = [
        loop.config.model_dump(mode="json"),
        loop.arm.training_settings(),
        None if loop.online is None else loop.online.identity,
        [job.init_seed, job.batch_seed],
        [loop.device.type, str(loop.precision)],
    ]
    code = code_reach.module_version(__name__)
    return digests.of_value([settings, data, list(loop.classes), code])
