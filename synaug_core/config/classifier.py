"""How classifiers are built, trained and tuned."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from synaug_core.config.arms import ArmConfig
from synaug_core.config.base import Count, Section
from synaug_core.packaged_weights import has_package

__all__ = [
    "AUTO",
    "HYPERPARAMETERS",
    "NETWORK_KEYS",
    "PRETRAINED_BACKBONE",
    "AugmentationConfig",
    "ClassifierConfig",
    "Hyperparameter",
    "Initialisation",
    "Pretrained",
    "Range",
    "Space",
    "Stem",
    "Training",
    "TuningConfig",
    "Value",
    "name_weights",
]

Initialisation = Literal["timm", "torch"]
Mirror = Literal["none", "horizontal", "both"]
Pretrained = Literal["none", "package", "hub", "file"]
Stem = Literal["auto", "standard", "small"]
Training = Literal["scratch", "frozen", "fine_tuned"]
AUTO = "auto"
"""The backbone of a run whose classifier has yet to be chosen on its images (`selection`)."""
NETWORK_KEYS = {
    *("backbone", "training", "pretrained", "weights_file", "input_size", "views"),
    *("stem", "initialisation", "width", "learning_rate", "layer_decay", "frozen_statistics", "warmup"),
}
"""Keys of `classifier` that make it one network; where a run sets none of them, its classifier is chosen."""
PRETRAINED_BACKBONE = "tf_efficientnet_lite0"
"""The backbone of `training: frozen` and `fine_tuned` where none is named: its weights come with synaug."""
_SHOWN_AT_LEAST, _SHOWN_AT_MOST = 128, 224
"""Pixels a side that a pretrained backbone is shown, where `input_size` does not say: it has learnt from large images.
"""
Rate = Annotated[float, Field(ge=0, lt=1)]
_RATE_OF_TIMM, _RATE_OF_FINE_TUNING, _WARMUP_OF_FINE_TUNING = 2e-3, 1e-3, 0.1


class AugmentationConfig(Section):
    """What the augmentation does at strength 1: `traditional` down to `contrast`, `strong` all of it."""

    probability: Annotated[float, Field(ge=0, le=1)] = 0.75
    """Share of the images of a batch that are augmented; the others stay as they are, like the images of the tests."""
    mirror: Mirror = "horizontal"
    """Mirrored left to right, upside down too (`both`), or not at all, where that changes the class."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 30.0
    """Largest angle in degrees, 180 for any."""
    translation: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Largest shift as a share of the side."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Largest change of size as a share."""
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Largest change of brightness, where white is 1."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Largest change of contrast as a share."""
    color: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Largest change of saturation as a share, and largest turn of the hue as a share of 180 degrees; 0: none, where
    colour tells the classes apart."""
    operation: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Largest level of one random operation for each image: shear along x or y, gamma, autocontrast, equalisation,
    solarisation, posterisation, sharpening, or none. Some change colours; 0: none of them."""
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0.02
    """Largest standard deviation of a Gaussian blur as a share of the side; 0: none."""
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Largest standard deviation of Gaussian noise, where white is 1; 0: none."""
    erasing: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Largest side of an erased rectangle as a share of the image's; 0: none."""
    strength: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Multiplies all of the above but the share of the images and the mirroring."""


class ClassifierConfig(Section):
    """The network and its training, the same for every arm."""

    training: Training = "scratch"
    """`scratch`: all weights of the network are trained, from random or pretrained ones, step by step; `frozen`: those
    of a pretrained backbone stay as they are, and on its features stands a linear head that a convex solver finds, in
    seconds; `fine_tuned`: that head first, then all weights step by step, at rates that are smaller towards the first
    layers. Frozen and fine-tuned, the backbone is tf_efficientnet_lite0 where none is named. Frozen, what is said of
    steps, batches, rates, dropout and normalisation in training does not apply, and arms that need a training loop
    (mixing, deferred balancing, several networks, pretraining, online synthesis) cannot be trained."""
    backbone: str = "small_cnn"
    """`small_cnn` or the name of a timm model; `auto`, as in a run that sets no key of the network: what is best on its
    training and validation images (see `selection`)."""
    pretrained: Pretrained = "none"
    """Where the backbone's first weights come from. `none`: they are random; `package`: an installed package, for
    tf_efficientnet_lite0 (with the extra `lite1` also tf_efficientnet_lite1), which needs no network; `hub`: timm's
    hub; `file`: `weights_file`, as by default where one is given. true is read as the file if one is given, or else the
    package if it has the backbone's weights, or else the hub; false as none. Pretrained networks take three channels,
    to which grey images are repeated, and normalise as their weights expect it."""
    weights_file: str | None = None
    """A local .safetensors file of the backbone's pretrained weights, with timm's names; `pretrained: none` leaves it
    unread."""
    input_size: Annotated[int, Field(ge=16, le=512)] | None = None
    """Pixels a side of what the network is shown: images are enlarged, or made smaller, on the device (bicubic,
    antialiased). None: as they are; frozen and fine-tuned: at least 128, and as they are up to 224."""
    views: Annotated[int, Field(ge=1, le=64)] = 4
    """Augmented views of each training image that a frozen backbone is shown, in arms with augmentation. All of them
    together weigh `augmentation.probability` of the image, the image as it is the rest."""
    stem: Stem = "auto"
    """`small` keeps the resolution in the first layers, as networks for 28 or 32 px do; auto: small up to 48 px."""
    initialisation: Initialisation = "timm"
    """Of a timm network that starts from scratch: timm's own scheme for it, or PyTorch's defaults for every layer (as
    in the usual ResNets for CIFAR)."""
    width: Count = 24
    """Channels of small_cnn's first convolution."""
    steps: Count | Literal["auto"] = "auto"
    """Optimiser steps, equal for every arm; auto: as many as the slowest of the arms needs, by the number of images and
    of classes and by the way of training."""
    batch_size: Count = 64
    """Training images in one step."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """`adamw` takes the weight decay off the weights themselves, `adam` adds it to the gradient."""
    learning_rate: Annotated[float, Field(gt=0)] = 6e-3
    """Default: 0.006 for small_cnn, 0.002 for timm's networks, 0.001 for fine-tuning."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Fine-tuned: each stage of the backbone learns at this share of the next one's rate, the last one of the head's,
    which has `learning_rate`. 1: all alike."""
    frozen_statistics: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Fine-tuned: the share of the backbone's stages, the first ones, whose batch normalisation keeps the mean and the
    spread that it was pretrained with. `normalisation` is about the others."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """`step` divides the rate by 10 at one half and three quarters of the steps."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the steps, the first ones, in which the rate rises to that of the schedule. Default: none, for
    fine-tuning a tenth."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Biases and normalisation layers do not decay."""
    dropout: Rate = 0.3
    """Share of the features before the last layer that are set to 0 at random in training."""
    label_smoothing: Rate = 0.0
    """Share of an image's label that is spread evenly over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs the loss by the inverse of a class's share; in arms with balanced or deferred sampling there is
    nothing left to weigh."""
    prior_correction: Annotated[float, Field(ge=0, le=2)] | Literal["auto"] = 1.0
    """Strength tau of the prior correction: after the training, logits - tau * log prior, where the prior is the share
    of each class in what the training drew and weighed. 0: none; auto: the tau of least class-balanced loss on the
    validation images, 1 without any. Arms that draw or weigh all classes alike have nothing to correct."""
    mixing_probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the images of a batch that arms with `mixing` mix with another one."""
    evaluate_every: Count = 25
    """Steps between two evaluations on the validation images."""
    normalisation: Literal["clean", "trained", "split"] = "clean"
    """What batch normalisation knows of the images when the network predicts. `clean`: the mean and spread of real
    training images that are not augmented, recomputed before every evaluation (PreciseBN); `split`: the same, and in
    training synthetic images are normalised apart from real ones (AdvProp); `trained`: the running mean and spread of
    the augmented and synthetic images seen in training."""
    keep: Literal["val_loss", "val_balanced_loss", "val_macro_auc", "average", "last"] = "val_balanced_loss"
    """Which weights are kept: those with the best validation figure (the loss, the loss averaged over the classes, the
    macro-AUC), the mean of those of the last quarter of the steps, or the last ones."""
    patience: Count | None = None
    """Evaluations without a better one that end a training; none: all steps are made, which the schedule of the
    learning rate is laid out for."""
    augmentation: AugmentationConfig = AugmentationConfig()

    @model_validator(mode="before")
    @classmethod
    def _accept_truth_values(cls, values: Any) -> Any:
        return name_weights(values) if isinstance(values, dict) else values

    @model_validator(mode="before")
    @classmethod
    def _give_each_network_its_rate(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if values.get("training") == "fine_tuned":
            return {"learning_rate": _RATE_OF_FINE_TUNING, "warmup": _WARMUP_OF_FINE_TUNING, **values}
        is_of_timm = values.get("backbone", "small_cnn") not in ("small_cnn", AUTO)
        return {"learning_rate": _RATE_OF_TIMM, **values} if is_of_timm else values

    @model_validator(mode="after")
    def _chosen_as_a_whole(self) -> "ClassifierConfig":
        if self.backbone == AUTO and (self.training != "scratch" or self.pretrained != "none"):
            raise ValueError("backbone: auto chooses the way of training and the weights too; name the backbone")
        return self

    @model_validator(mode="after")
    def _frozen_and_fine_tuned_weights_are_pretrained(self) -> "ClassifierConfig":
        if self.training == "scratch":
            return self
        needs = f"training: {self.training} needs pretrained weights"
        if self.backbone == "small_cnn":
            raise ValueError(f"{needs}, and small_cnn has none; leave backbone out, or name a timm backbone")
        if self.pretrained == "none":
            raise ValueError(f"{needs}; set pretrained to package, hub or file")
        return self

    @model_validator(mode="after")
    def _has_one_source_of_weights(self) -> "ClassifierConfig":
        if self.pretrained == "file" and self.weights_file is None:
            raise ValueError("pretrained: file needs the file; name it in classifier.weights_file")
        if self.pretrained in ("package", "hub") and self.weights_file is not None:
            raise ValueError(
                f"pretrained: {self.pretrained} and weights_file are two sources of weights; leave one out"
            )
        return self

    @property
    def is_named(self) -> bool:
        """False where the network has yet to be chosen on the images."""
        return self.backbone != AUTO

    def shown_size(self, size: int) -> int:
        """Pixels a side of what the network is shown of images with `size` pixels a side."""
        if self.input_size is not None or self.training == "scratch":
            return self.input_size or size
        return max(_SHOWN_AT_LEAST, min(size, _SHOWN_AT_MOST))

    def obstacle_to(self, arm: ArmConfig) -> str | None:
        """Why an arm cannot be trained this way, as a sentence that says what to do; None where it can, or where the
        way has yet to be chosen."""
        if self.training != "frozen":
            if arm.oversampling is None or not self.is_named:
                return None
            return (
                f"oversampling makes points among the features of a frozen backbone, and classifier.training: "
                f"{self.training} has none; leave it out, or set classifier.training to frozen"
            )
        needs = {
            "online": arm.online is not None,
            f"mixing: {arm.mixing}": arm.mixing != "none",
            "sampling: deferred": arm.sampling == "deferred",
            "members above 1": arm.members > 1,
            "pretrain": arm.pretrain > 0,
        }
        key = next((name for name, is_set in needs.items() if is_set), None)
        return (
            None
            if key is None
            else (
                f"{key} needs a training loop, and classifier.training: frozen has none; leave it out, or set "
                "classifier.training to fine_tuned or scratch"
            )
        )

    @property
    def weights_obstacle(self) -> str | None:
        """Why the network cannot have the pretrained weights that are wanted; None where nothing is in the way."""
        if self.backbone != "small_cnn" or self.pretrained == "none":
            return None
        return "classifier.pretrained: small_cnn has no pretrained weights; name a timm backbone"

    def narrow(self, arm: ArmConfig) -> ArmConfig:
        """The arm with those of its candidates that can be trained this way."""
        possible = tuple(name for name in arm.candidates if self.obstacle_to(arm.become(name)) is None)
        return arm if possible == arm.candidates else arm.model_copy(update={"candidates": possible})

    @property
    def step_count(self) -> int:
        """The optimiser steps as a number.

        Raises:
            ValueError: they are `auto`, and nobody has resolved them (`classify.budget`).
        """
        if self.steps == "auto":
            raise ValueError("classifier.steps: auto is no number before the training images are known")
        return self.steps

    def steps_or_half(self, steps: int | None) -> int:
        """Optimiser steps of a training beside the arms' own: those given, by default half of theirs."""
        return steps or max(1, self.step_count // 2)


def name_weights(values: dict[str, Any]) -> dict[str, Any]:
    """A classifier's values with the word under `pretrained` that true or false of version 0.1.0 stands for, or a file
    with nothing said of it. Frozen and fine-tuned, the backbone is named too, and nothing said of weights is as true.
    """
    if values.get("training") in ("frozen", "fine_tuned"):
        values = {key: value for key, value in values.items() if (key, value) != ("backbone", AUTO)}
        values = {"backbone": PRETRAINED_BACKBONE, "pretrained": True, **values}
    has_file = values.get("weights_file") is not None
    pretrained = values.get("pretrained", True if has_file else None)
    if not isinstance(pretrained, bool):
        return values
    source: Pretrained = "file" if has_file else "package" if has_package(str(values.get("backbone"))) else "hub"
    return {**values, "pretrained": source if pretrained else "none"}


class Range(Section):
    """An interval to search."""

    low: float
    """The least value."""
    high: float
    """The largest value."""
    log: bool = False
    """Whether values are drawn evenly on a logarithmic scale."""

    @model_validator(mode="after")
    def _is_ordered(self) -> "Range":
        if not self.low <= self.high or (self.log and self.low <= 0):
            raise ValueError("low must not exceed high, and must be positive on a log scale")
        return self


Mirrors = Annotated[tuple[Mirror, ...], Field(min_length=1)]
Numbers = Annotated[tuple[float, ...], Field(min_length=1)]
Value = float | str
"""Of a hyper-parameter."""
Space = Range | tuple[Value, ...]
"""What a hyper-parameter may be: a number of an interval, or one of some values."""


@dataclass(frozen=True)
class Hyperparameter:
    """What makes a field of `TuningConfig` one that is searched: its title for people, what it sets, and for whom.

    Attributes:
        title: as figures, the report and messages call it.
        key: dotted key below `classifier` that holds its value; None: a share of something else, as configured 1.
        used_by: whether the training of an arm depends on it; it is searched where a searched arm's does.
        needs_loop: whether it is searched only for trainings step by step: a frozen network has no steps, and would
            have to be shown all its views anew in each trial that augments otherwise.
        ranges: what `auto` means, for each way of training that has it.
    """

    title: str
    key: str | None = None
    used_by: Callable[[ArmConfig], bool] = lambda _: True
    needs_loop: bool = False
    ranges: Mapping[Training, Range] = field(default_factory=dict)

    def read(self, config: ClassifierConfig) -> Value:
        """The configured value: a number, or the word of a choice."""
        value = 1.0 if self.key is None else operator.attrgetter(self.key)(config)
        return value if isinstance(value, str) else float(value)

    def set(self, config: ClassifierConfig, value: Value) -> ClassifierConfig:
        """The configuration with another value.

        Raises:
            ValidationError: a value that the key cannot take.
            ValueError: a share outside [0, 1].
        """
        if self.key is None:
            if isinstance(value, str) or not 0 <= value <= 1:
                raise ValueError(f"{self.title}: {value} is not a share from 0 to 1")
            return config
        values = config.model_dump()
        *sections, name = self.key.split(".")
        functools.reduce(dict.__getitem__, sections, values)[name] = value
        return ClassifierConfig.model_validate(values)


_RATES: dict[Training, Range] = {
    "scratch": Range(low=5e-4, high=3e-2, log=True),
    "fine_tuned": Range(low=1e-4, high=5e-3, log=True),
}


def _augments(arm: ArmConfig) -> bool:
    return arm.augmentation != "none"


def _strongly(arm: ArmConfig) -> bool:
    return arm.augmentation == "strong"


def _adds_images(arm: ArmConfig) -> bool:
    return arm.synthesis is not None


class TuningConfig(Section):
    """The search for hyper-parameters; its objective is balanced accuracy on the validation images."""

    trials: Annotated[int, Field(ge=0)] = 12
    """Trials in all for each search; 0 leaves the configured values as they are."""
    scope: Literal["shared", "per_arm"] = "shared"
    """One search for all arms, or one for each, each with the same number of trials."""
    arms: tuple[str, ...] = ("control", "combined")
    """Arms whose mean score a shared search maximises (those among them that the run has). Where the run has no
    `control`, its first arm without synthetic images stands in; where it has no `combined`, its first arm with
    synthetic images that is no control."""
    steps: Count | None = None
    """Optimiser steps of one training in a trial; default: half of the classifier's."""
    parallel: Count = 2
    """Trials asked for at once. Part of the result: a larger number learns less from each trial."""
    pruner: Literal["halving", "median", "none"] = "halving"
    """halving: all trials make trainings of a part of the steps, and the best of them go on to all steps; median: a
    trial ends where it falls behind the median of earlier rounds; none: every trial makes all steps."""
    learning_rate: Annotated[
        Range | Literal["auto"] | None,
        Hyperparameter("learning rate", "learning_rate", needs_loop=True, ranges=_RATES),
    ] = "auto"
    """auto: from 0.0005 to 0.03; for fine-tuning from 0.0001 to 0.005."""
    weight_decay: Annotated[Range | None, Hyperparameter("weight decay", "weight_decay", needs_loop=True)] = Range(
        low=1e-4, high=1e-1, log=True
    )
    dropout: Annotated[Range | None, Hyperparameter("dropout", "dropout", needs_loop=True)] = Range(low=0.0, high=0.6)
    augmentation_strength: Annotated[
        Range | None, Hyperparameter("augmentation strength", "augmentation.strength", _augments, needs_loop=True)
    ] = Range(low=0.3, high=1.5)
    mirror: Annotated[
        Mirrors | None, Hyperparameter("mirroring", "augmentation.mirror", _augments, needs_loop=True)
    ] = ("none", "horizontal", "both")
    """Whether a class stays what it is in a mirror. The configured value is always one of the choices, here and below;
    null where the images' subject tells: a mirrored digit is no digit."""
    rotation: Annotated[
        Numbers | None, Hyperparameter("largest rotation", "augmentation.rotation", _augments, needs_loop=True)
    ] = (15.0, 180.0)
    """Degrees: cells and tiles may be turned all round, letters may not."""
    color: Annotated[
        Numbers | None, Hyperparameter("change of colours", "augmentation.color", _strongly, needs_loop=True)
    ] = (0.0, 0.1)
    """Colour is the label of a stained cell, and chance in a photograph."""
    operation: Annotated[
        Numbers | None, Hyperparameter("random operation", "augmentation.operation", _strongly, needs_loop=True)
    ] = (
        0.0,
        1.0,
    )
    synthetic_share: Annotated[Range | None, Hyperparameter("synthetic share", used_by=_adds_images)] = Range(
        low=0.1, high=1.0
    )
    """Share of the planned synthetic images that are used."""

    def spaces(self, training: Training = "scratch") -> dict[str, Space]:
        """What the hyper-parameters that are searched may be, by name, in the order of `HYPERPARAMETERS`."""
        spaces = {name: getattr(self, name) for name in HYPERPARAMETERS}
        return {
            name: entry.ranges[training] if spaces[name] == "auto" else spaces[name]
            for name, entry in HYPERPARAMETERS.items()
            if spaces[name] is not None
        }

    def narrowed_to(self, arms: Sequence[ArmConfig], training: Training = "scratch") -> "TuningConfig":
        """The same search without the hyper-parameters that none of these arms uses, over the ranges of their way of
        training.

        Frozen, a trial's trainings have no steps that could be made in parts, so none ends early; and where nothing is
        left to search, one trial says it all.
        """
        has_loop = training != "frozen"
        unused = [
            name
            for name, entry in HYPERPARAMETERS.items()
            if not any(map(entry.used_by, arms)) or (entry.needs_loop and not has_loop)
        ]
        narrow = self.model_copy(update=dict.fromkeys(unused))
        if has_loop:
            return narrow.model_copy(update=narrow.spaces(training))
        trials = self.trials if narrow.spaces() else min(self.trials, 1)
        return narrow.model_copy(update={"pruner": "none", "trials": trials})


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    name: entry
    for name, info in TuningConfig.model_fields.items()
    for entry in info.metadata
    if isinstance(entry, Hyperparameter)
}
"""What a search can vary, by name: the fields of `TuningConfig` that are marked as such, with their default spaces."""
