"""What every generator has to do, as checks that any test suite can run.

    import pytest
    from synaug_core.testing.conformance import GENERATOR_CHECKS, GeneratorSubject

    @pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
    def test_my_generator(check, tmp_path):
        check(GeneratorSubject(MyGenerator, GeneratorConfig(kind="mine", steps=20), folder=tmp_path))

A check raises AssertionError with what went wrong.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synaug_core import checkpoints, errors, seeds
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import FitJob, Generator, LatentGenerator

__all__ = ["GENERATOR_CHECKS", "GeneratorCheck", "GeneratorSubject", "make_images"]

_CPU = torch.device("cpu")
_SEED, _OTHER_SEED = 11, 12
_NO_CHECKPOINT = checkpoints.Checkpoint(None)


@dataclass(frozen=True)
class GeneratorSubject:
    """What is checked.

    Attributes:
        create: the generator's class.
        config: a small fit, of several evaluations, seconds long.
        folder: an empty folder to write to.
        device: where to fit.
        isolated: the fit of a class is equal to the last bit whichever classes it shares a call with; False
            for one that computes classes together and may differ in rounding.
        channels: 1 or 3.
        size: side length in pixels.
        poison: puts NaN into what the state of a fit under way (`Run.state`) holds of a class, given by name and
            number, in place, as a numerical accident would; for a model without a part for each class, anywhere.
            None: not checked.
    """

    create: Callable[[GeneratorConfig, tuple[str, ...], int, int], Generator]
    config: GeneratorConfig
    folder: Path
    device: torch.device = _CPU
    isolated: bool = True
    channels: int = 1
    size: int = 16
    poison: Callable[[dict[str, Any], str, int], None] | None = None

    def fit(self, images: ImageSet, *classes: str, seed: int = _SEED) -> Generator:
        """A generator fitted on these classes, all that have a name where none is given."""
        generator = self.create(self.config, classes or images.classes, self.channels, self.size)
        return generator.fit(images, FitJob(seed, self.device))

    def images(self, counts: Mapping[str, int]) -> ImageSet:
        """Made-up images of these classes."""
        return make_images(counts, self.channels, self.size)


GeneratorCheck = Callable[[GeneratorSubject], None]


def make_images(counts: Mapping[str, int], channels: int, size: int) -> ImageSet:
    """Bright discs on a dark ground, each class with a radius of its own; equal for equal arguments."""
    grid = torch.linspace(-1, 1, size)
    parts = []
    for number, (name, n) in enumerate(counts.items()):
        random = seeds.stream(seeds.derive(0, name))
        centre = torch.rand(n, 2, 1, 1, generator=random) - 0.5
        is_inside = (grid[None, None] - centre[:, 0]).square() + (grid[None, :, None] - centre[:, 1]).square()
        disc = torch.sigmoid(20 * (0.2 + 0.1 * (number % 5) - is_inside))[:, None].expand(n, channels, size, size)
        noise = 0.02 * torch.randn(n, channels, size, size, generator=random)
        parts.append(((0.1 + 0.8 * disc + noise).clamp(0, 1) * 255).to(torch.uint8))
    ids = tuple(f"{name}/{i}" for name, n in counts.items() for i in range(n))
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(list(counts.values())))
    return ImageSet(torch.cat(parts), labels, tuple(counts), ids, ids, ('{"source": "made up"}',) * len(ids))


def check_images_have_the_shape_and_range(subject: GeneratorSubject) -> None:
    """`sample` gives n uint8 images on the CPU, also for n = 0 and 1."""
    generator = subject.fit(subject.images({"a": 12, "b": 5}))
    for n in (0, 1, 7):
        for name in ("a", "b"):
            images = generator.sample(n, name, seed=1)
            _expect(images.dtype == torch.uint8 and images.device.type == "cpu", "images are uint8 on the CPU")
            _expect(images.shape == (n, subject.channels, subject.size, subject.size), f"shape for n = {n}")
    _expect(int(generator.sample(16, "a", seed=1).max()) > 0, "images are not all black")


def check_same_seed_same_bytes(subject: GeneratorSubject) -> None:
    """Equal seeds give equal images, other seeds others; in the fit as in the sample."""
    images = subject.images({"a": 12})
    first, second = subject.fit(images), subject.fit(images)
    sample = first.sample(6, "a", seed=1)
    _expect_equal(sample, first.sample(6, "a", seed=1), "a sample repeats")
    _expect_equal(sample, second.sample(6, "a", seed=1), "a fit repeats")
    _expect(not torch.equal(sample, first.sample(6, "a", seed=2)), "another seed samples other images")
    reseeded = subject.fit(images, seed=_OTHER_SEED)
    _expect(not torch.equal(sample, reseeded.sample(6, "a", seed=1)), "another seed fits another model")


def check_random_state_is_left_alone(subject: GeneratorSubject) -> None:
    """The global random stream of torch is neither used nor moved."""
    images = subject.images({"a": 12})
    before = torch.random.get_rng_state()
    sample = subject.fit(images).sample(4, "a", seed=1)
    _expect_equal(torch.random.get_rng_state(), before, "the global random state stays as it was")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_OTHER_SEED)
        _expect_equal(subject.fit(images).sample(4, "a", seed=1), sample, "the global random state changes nothing")


def check_the_first_images_stay(subject: GeneratorSubject) -> None:
    """The first m of n images are those that asking for m gives."""
    generator = subject.fit(subject.images({"a": 12}))
    many = generator.sample(70, "a", seed=1)
    for n in (1, 5, 64, 66):
        _expect_equal(generator.sample(n, "a", seed=1), many[:n], f"the first {n} of 70 images")


def check_classes_are_isolated(subject: GeneratorSubject) -> None:
    """Other classes in the call, their order and other images in the set change nothing."""
    few, many = subject.images({"a": 12}), subject.images({"a": 12, "b": 9, "c": 3})
    alone = subject.fit(few).sample(6, "a", seed=1)
    _expect_equal(subject.fit(many, "a").sample(6, "a", seed=1), alone, "images of classes outside the group")
    forward = subject.fit(many, "a", "b", "c").sample(6, "a", seed=1)
    _expect_equal(subject.fit(many, "c", "b", "a").sample(6, "a", seed=1), forward, "the order of the classes")
    if subject.isolated:
        _expect_equal(forward, alone, "other classes in the group")


def check_saved_is_loaded(subject: GeneratorSubject) -> None:
    """A loaded generator makes the same images and has the same reports; equal fits save equal bytes."""
    images = subject.images({"a": 12, "b": 4})
    generator = subject.fit(images)
    generator.save(subject.folder / "one")
    subject.fit(images).save(subject.folder / "two")
    copy = type(generator).load(subject.folder / "one", subject.device)
    _expect((copy.classes, copy.size) == (generator.classes, generator.size), "classes and size are kept")
    for name in generator.classes:
        _expect_equal(copy.sample(6, name, seed=1), generator.sample(6, name, seed=1), f"images of {name}")
        stored_report = generator.reports[name].model_copy(update={"seconds": None})
        _expect(copy.reports[name] == stored_report, f"the report of {name}")
    for path in (subject.folder / "one").iterdir():
        _expect(path.suffix in (".json", ".safetensors"), f"{path.name} is JSON or safetensors")
        _expect(path.read_bytes() == (subject.folder / "two" / path.name).read_bytes(), f"{path.name} repeats")


def check_tiny_classes_work(subject: GeneratorSubject) -> None:
    """One image, two images, equal images and a large class, together."""
    images = subject.images({"one": 1, "two": 2, "same": 12, "many": 40})
    copies = images.images[images.labels == 2][:1]
    pixels = torch.where((images.labels == 2)[:, None, None, None], copies, images.images)
    equal = ImageSet(pixels, images.labels, images.classes, images.ids, images.groups, images.provenance)
    generator = subject.fit(equal)
    for name in generator.classes:
        report = generator.reports[name]
        _expect(len(generator.sample(3, name, seed=1)) == 3, f"class {name} can be sampled")
        _expect(report.status != "diverged", f"class {name} does not diverge")
        _expect(report.images + report.held_out == equal.counts()[name], f"all images of {name} are accounted for")


def check_missing_images_are_refused(subject: GeneratorSubject) -> None:
    """A class without images, an unknown class, and images of another size are the user's fault."""
    images = subject.images({"a": 3, "b": 0})
    larger = make_images({"a": 3}, subject.channels, subject.size + 4)
    for image_set, classes in ((images, ("a", "b")), (images, ("a", "z")), (larger, ("a",))):
        try:
            subject.fit(image_set, *classes)
        except errors.DataError:
            continue
        raise AssertionError(f"no DataError for classes {classes} of images {tuple(image_set.images.shape)}")


def check_an_interrupted_fit_goes_on(subject: GeneratorSubject) -> None:
    """Interrupted after any evaluation and taken up again, a fit ends with the same bytes."""
    images = subject.images({"a": 12, "b": 4})
    counter = _Interruption(after=None)
    _fit_with(subject, images, counter).save(subject.folder / "whole")
    _expect(counter.calls > 1, "the subject's fit reports progress more than once")
    for after in range(1, counter.calls):
        checkpoint = checkpoints.Checkpoint(subject.folder / f"state-{after}", interval=0)
        with contextlib.suppress(_Interruption.Happened):
            _fit_with(subject, images, _Interruption(after=after), checkpoint)
        _fit_with(subject, images, _Interruption(after=None), checkpoint).save(subject.folder / f"at-{after}")
        for path in (subject.folder / "whole").iterdir():
            is_equal = path.read_bytes() == (subject.folder / f"at-{after}" / path.name).read_bytes()
            _expect(is_equal, f"{path.name} repeats after an interruption at evaluation {after}")


class _Interruption:
    """A progress that raises at its call number `after`."""

    class Happened(Exception):  # noqa: N818  # not an error
        pass

    def __init__(self, after: int | None) -> None:
        self.after, self.calls = after, 0

    def __call__(self, done: int, total: int, **values: float) -> None:
        self.calls += 1
        if self.calls == self.after:
            raise _Interruption.Happened


def _fit_with(
    subject: GeneratorSubject,
    images: ImageSet,
    progress: _Interruption,
    checkpoint: checkpoints.Checkpoint = _NO_CHECKPOINT,
) -> Generator:
    generator = subject.create(subject.config, images.classes, subject.channels, subject.size)
    return generator.fit(images, FitJob(_SEED, subject.device, progress, checkpoint))


def check_nan_in_one_class_leaves_the_others_equal(subject: GeneratorSubject) -> None:
    """A class that breaks down half-way says so; the others are as without the accident, or, where one model holds all
    classes, as they were before it."""
    if subject.poison is None:
        return
    images = subject.images({"a": 14, "bad": 12, "c": 12})
    checkpoint = checkpoints.Checkpoint(subject.folder / "poisoned", interval=0)
    with contextlib.suppress(_Interruption.Happened):
        _fit_with(subject, images, _Interruption(after=1), checkpoint)
    state = checkpoint.load()
    if state is None:
        raise AssertionError("expected: a fit offers its state to the checkpoint after each evaluation")
    subject.poison(state["run"], "bad", images.classes.index("bad"))
    checkpoint.offer(lambda: state)
    broken = _fit_with(subject, images, _Interruption(after=None), checkpoint)
    _expect(broken.reports["bad"].status == "diverged", "the class that broke down is reported")
    for name in ("a", "c"):
        report = broken.reports[name]
        steps = report.best_step if report.status == "diverged" else subject.config.steps
        before = replace(subject, config=subject.config.model_copy(update={"steps": steps})).fit(images)
        images_after, images_before = broken.sample(6, name, seed=1), before.sample(6, name, seed=1)
        if report.status == "diverged" or subject.isolated:
            _expect_equal(images_after, images_before, f"images of {name}")
        else:  # rounding
            difference = int((images_after.int() - images_before.int()).abs().max())
            _expect(difference <= 2, f"images of {name} to 2 of 255 grey levels")


def check_latent_space(subject: GeneratorSubject) -> None:
    """For a generator with one: shapes, ranges, and an image that depends on its own row alone."""
    images = subject.images({"a": 12})
    generator = subject.fit(images)
    if not isinstance(generator, LatentGenerator):
        return
    mean, log_variance = generator.encode(images.images, "a")
    _expect(mean.shape == log_variance.shape and mean.ndim == 2 and len(mean) == 12, "one row for each image")
    decoded = generator.decode(mean, "a")
    _expect(decoded.dtype == torch.float32 and decoded.shape == images.images.shape, "decoded images, float32")
    _expect(bool(((decoded >= 0) & (decoded <= 1)).all()), "decoded values lie in [0, 1]")
    _expect(not decoded.requires_grad, "no gradient is kept")
    _expect_equal(generator.decode(mean[3:4], "a")[0], decoded[3], "a row decoded alone")
    _expect_equal(generator.encode(images.images[3:4], "a")[0][0], mean[3], "an image encoded alone")
    _expect_equal(generator.posteriors(images.images, "a")[0], mean, "posteriors of training images")


GENERATOR_CHECKS: tuple[GeneratorCheck, ...] = (
    check_images_have_the_shape_and_range,
    check_same_seed_same_bytes,
    check_random_state_is_left_alone,
    check_the_first_images_stay,
    check_classes_are_isolated,
    check_saved_is_loaded,
    check_tiny_classes_work,
    check_missing_images_are_refused,
    check_an_interrupted_fit_goes_on,
    check_nan_in_one_class_leaves_the_others_equal,
    check_latent_space,
)


def _expect(condition: bool, expectation: str) -> None:
    if not condition:
        raise AssertionError(f"expected: {expectation}")


def _expect_equal(first: Tensor, second: Tensor, subject: str) -> None:
    _expect(first.shape == second.shape and torch.equal(first.cpu(), second.cpu()), f"{subject}: equal to the last bit")
