"""What the mechanics of training do to a comparison: one change at a time, paired draws, control and VAE arm.

`python -m benchmarks.fair_fight` trains, for each set and draw, the arms `original`, `control` and `combined` (with
images of a class VAE in the rare class) with the mechanics of version 0.1.0, with one of them changed, and with all of
them changed, and prints a table: mean over the draws, and the mean paired difference to version 0.1.0 with its
standard error. What an earlier call finished is found again in `--out`.

Each draw takes few training images of each class and half as many validation images; all others are test images.
Images of one group stay on one side. The data are looked for where SYNAUG_DATA says, else in shared/data beside the
repository.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from synaug_core import devices, seeds
from synaug_core.classify.budget import resolve_steps
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import STANDARD_ARMS, ArmConfig, ClassifierConfig, DataConfig, GeneratorConfig, SynthesisConfig
from synaug_core.data import reading
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import scores
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob
from synaug_core.names import slugs
from synaug_core.synthesis.make import synthesise
from synaug_core.synthesis.plan import plan

_ROOT = Path(__file__).resolve().parent.parent
_DATA = Path(os.environ.get("SYNAUG_DATA", _ROOT.parent / "shared" / "data"))


@dataclass(frozen=True)
class Draws:
    """A set of images and how few of them a draw takes.

    Attributes:
        source: below the folder of data sets.
        rare: the class that is made rare.
        few, many: training images of the rare class and of each other one; half as many validate.
        size: pixels a side.
        classes: only these.
        most_test: most test images of a class.
    """

    source: str
    rare: str
    few: int
    many: int
    size: int
    classes: tuple[str, ...] | None = None
    most_test: int = 400


SETS = {
    "breast": Draws("breastmnist.npz", "0", 20, 100, 28),
    "wbc": Draws("wbc", "LYMPHOCYTE", 12, 40, 32, ("NEUTROPHIL", "EOSINOPHIL", "LYMPHOCYTE")),
    "pbc": Draws("large/pbc_8classes.parquet", "monocyte", 20, 100, 32),
    "malaria": Draws("large/malaria_cells.npz", "Parasitized", 20, 100, 32),
    "solar": Draws("large/elpv_solar_cells.npz", "defective", 20, 100, 32, ("functional", "defective")),
}


@dataclass(frozen=True)
class Mechanics:
    """What a row of the table changes.

    Attributes:
        title: of the row.
        classifier, arm, synthesis: keys of the configuration that differ from today's defaults.
        draws_share: whether a drawn share of the synthetic images is used, as when a search without synthetic arms
            drew it.
        arms: the arms that it makes a difference to.
        steps_share: part of the steps that are made.
    """

    title: str
    classifier: Mapping[str, Any] = field(default_factory=dict)
    arm: Mapping[str, Any] = field(default_factory=dict)
    synthesis: Mapping[str, Any] = field(default_factory=dict)
    draws_share: bool = False
    arms: tuple[str, ...] = ("control", "combined")
    steps_share: float = 1.0


_ARMS = ("original", "control", "combined")
_BEFORE: dict[str, Any] = {
    "width": 16,
    "steps": 400,
    "learning_rate": 2e-3,
    "normalisation": "trained",
    "keep": "val_loss",
    "patience": 8,
    "prior_correction": 0.0,
    "augmentation": {"probability": 1.0},
}
_OLD_ARM = {"real_share": 0.0}
_LONGER = {"steps": "auto", "patience": 1000}
_AFTER: dict[str, Any] = {"width": 16, "steps": "auto"}

MECHANICS = {
    "before": Mechanics("as in version 0.1.0", _BEFORE, _OLD_ARM, draws_share=True, arms=_ARMS),
    "clean": Mechanics(
        "1: statistics of clean real images", _BEFORE | {"normalisation": "clean"}, _OLD_ARM, draws_share=True
    ),
    "balanced_loss": Mechanics(
        "2: kept by the class-balanced loss", _BEFORE | {"keep": "val_balanced_loss"}, _OLD_ARM, draws_share=True
    ),
    "average": Mechanics(
        "2: all steps, averaged weights", _BEFORE | {"keep": "average", "patience": 1000}, _OLD_ARM, draws_share=True
    ),
    "share": Mechanics("3: every synthetic image used", _BEFORE, _OLD_ARM, arms=("combined",)),
    "real_share": Mechanics(
        "4: half of the draws real", _BEFORE, {"real_share": 0.5}, draws_share=True, arms=("combined",)
    ),
    "every": Mechanics(
        "4: and synthetic images in every class",
        _BEFORE,
        {"real_share": 0.5},
        {"sampling_strategy": "every"},
        arms=("combined",),
    ),
    "steps": Mechanics("5: steps to convergence", _BEFORE | _LONGER, _OLD_ARM, draws_share=True),
    "unaugmented": Mechanics(
        "5: a quarter of the images unaugmented", _BEFORE | {"augmentation": {}}, _OLD_ARM, draws_share=True
    ),
    "prior": Mechanics("7: prior corrected", _BEFORE | {"prior_correction": 1.0}, _OLD_ARM, arms=("original",)),
    "after": Mechanics("all of them, as by default", _AFTER, arms=_ARMS),
    "slow": Mechanics("all, learning rate 0.002", _AFTER | {"learning_rate": 2e-3}, arms=_ARMS),
    "fast": Mechanics("all, learning rate 0.02", _AFTER | {"learning_rate": 2e-2}, arms=_ARMS),
    "short": Mechanics("all, 0.4 of the steps", _AFTER, arms=_ARMS, steps_share=0.4),
    "all_augmented": Mechanics("all, every image augmented", _AFTER | {"augmentation": {"probability": 1.0}}),
    "all_average": Mechanics("all, averaged weights", _AFTER | {"keep": "average"}, arms=_ARMS),
    "all_last": Mechanics("all, the last weights", _AFTER | {"keep": "last"}, arms=_ARMS),
    "all_trained": Mechanics("all, running statistics", _AFTER | {"normalisation": "trained"}),
    "all_split": Mechanics("all, synthetic images apart", _AFTER | {"normalisation": "split"}, arms=("combined",)),
}
"""The rows of the table, by name."""


def main() -> None:
    """Train what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["breast", "wbc", "pbc"], choices=SETS)
    parser.add_argument("--rows", nargs="+", default=list(MECHANICS), choices=MECHANICS)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw; other draws confirm")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=_ROOT / ".synaug" / "fair-fight")
    parser.add_argument("--tables-only", action="store_true")
    parser.add_argument("--reference", default="before", choices=MECHANICS, help="row that differences are to")
    args = parser.parse_args()
    numbers = range(args.first, args.first + args.draws)
    if not args.tables_only:
        jobs = [(name, number, row, args.out) for row in args.rows for number in numbers for name in args.sets]
        with ProcessPoolExecutor(args.workers) as pool:
            for _ in pool.map(_job, *zip(*jobs, strict=True)):
                pass
    for name in args.sets:
        print(f"\n{name}: {_design(SETS[name])}, {len(numbers)} draws\n")
        print("\n".join(_table(args.out, name, args.rows, args.reference, numbers)))
    print(
        f"\nPaired differences to {MECHANICS[args.reference].title}: balanced accuracy, AUC, recall of the rare class\n"
    )
    print("\n".join(_differences(args.out, args.sets, args.rows, args.reference, numbers)))


def _job(name: str, number: int, row: str, out: Path) -> None:
    torch.set_num_threads(1)
    images = _images(name)
    draw = _drawn(images, SETS[name], number)
    for arm in MECHANICS[row].arms:
        path = out / f"{name}-{number}-{row}-{arm}.json"
        if not path.exists():
            result = _train(name, number, draw, MECHANICS[row], arm, out)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result))
            print(
                f"{name} {number} {row} {arm}: {result['balanced_accuracy']:.3f} {result['macro_auc']:.3f}", flush=True
            )


_READ: dict[str, ImageSet] = {}


def _images(name: str) -> ImageSet:
    """All images of a set, read once a process."""
    if name not in _READ:
        _READ[name] = _read(SETS[name])
    return _READ[name]


def _read(draws: Draws) -> ImageSet:
    listing = reading.open_source(DataConfig(source=str(_DATA / draws.source)))
    classes = draws.classes or tuple(sorted(listing.classes))
    items = [item for item in listing.items if item.label in classes]
    read = reading.read_all(items, draws.size)
    channels = 1 if read.all_grey else 3
    squares = [s if s.ndim == 3 else np.repeat(s[..., None], channels, 2) for s in read.squares]
    return ImageSet(
        images=torch.from_numpy(np.stack(squares)[..., :channels]).permute(0, 3, 1, 2).contiguous(),
        labels=torch.tensor([classes.index(item.label) for item in read.items]),
        classes=classes,
        ids=tuple(item.id for item in read.items),
        groups=tuple(item.group or item.id for item in read.items),
        provenance=tuple(json.dumps({"source": item.id}) for item in read.items),
    )


def _drawn(images: ImageSet, draws: Draws, number: int) -> dict[str, ImageSet]:
    """Training, validation and test images of a draw: whole groups in random order, until a class has enough."""
    rng = np.random.default_rng(seeds.derive(0, "fair fight", draws.source, number))
    of_group: dict[str, list[int]] = {}
    for position, group in enumerate(images.groups):
        of_group.setdefault(group, []).append(position)
    order = [of_group[group] for group in rng.permutation(sorted(of_group))]
    sides: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for side in sides:
        limits = [_limit(side, draws, name) for name in images.classes]
        rest = []
        for members in order:
            lacking = [p for p in members if limits[int(images.labels[p])] > 0]
            for position in lacking:
                if limits[int(images.labels[position])] > 0:
                    limits[int(images.labels[position])] -= 1
                    sides[side].append(position)
            if not lacking:
                rest.append(members)
        order = rest
    return {side: images.take(sorted(positions)) for side, positions in sides.items()}


def _limit(side: str, draws: Draws, name: str) -> int:
    count = draws.few if name == draws.rare else draws.many
    return {"train": count, "val": math.ceil(count / 2), "test": draws.most_test}[side]


def _train(
    name: str, number: int, draw: Mapping[str, ImageSet], mechanics: Mechanics, arm_name: str, out: Path
) -> dict[str, float]:
    """The metrics of one training on the draw's test images."""
    config = ClassifierConfig.model_validate(mechanics.classifier)
    config = resolve_steps(config, (STANDARD_ARMS["control"],), draw["train"].counts())
    config = config.model_copy(update={"steps": round(config.step_count * mechanics.steps_share)})
    standard = STANDARD_ARMS[arm_name]
    own = dict(mechanics.arm) if standard.synthesis is not None else {}
    arm = ArmConfig.model_validate(standard.model_dump() | own)
    images = draw["train"]
    if standard.synthesis is not None:
        synthetic = _synthetic(images, dict(mechanics.synthesis), out / f"images-{name}-{number}")
        if mechanics.draws_share:
            rng = np.random.default_rng(seeds.derive(0, "share", name, number))
            share = rng.uniform(0.1, 1.0)
            synthetic = synthetic.head_of_each_class({c: round(n * share) for c, n in synthetic.counts().items()})
        images = concatenate([images, synthetic])
    classifier = train(
        TrainingJob(
            config,
            arm,
            images,
            draw["val"],
            init_seed=seeds.derive(number, "init"),
            batch_seed=seeds.derive(number, "batches", arm_name),
        )
    )
    test = draw["test"]
    predictions = Predictions(test.ids, test.labels.numpy(), classifier.predict(test), classifier.classes)
    values = scores(predictions)
    rare = slugs(test.classes)[SETS[name].rare]
    best_step = classifier.history.best_step
    return {
        "balanced_accuracy": values["balanced_accuracy"],
        "macro_auc": values["macro_auc"],
        "rarest_recall": values[f"class/{rare}/recall"],
        "best_step": best_step,
        "stopped_at": classifier.history.stopped_at,
        "seconds": classifier.history.seconds,
        "images": len(images),
    }


def _synthetic(train_images: ImageSet, changes: dict[str, Any], place: Path) -> ImageSet:
    """The images of a class VAE, from a stored file where there is one."""
    config = SynthesisConfig.model_validate({"filters": {"label_consistency": None}, **changes})
    path = place.with_name(f"{place.name}-{config.sampling_strategy}.pt")
    counts = plan(train_images.counts(), config.sampling_strategy, config.multiple)
    if not path.exists():
        chosen = tuple(name for name, n in counts.items() if n)
        generator = registry.create(GeneratorConfig(), chosen, train_images.channels, train_images.size)
        generator.fit(train_images, FitJob(seed=0, device=devices.resolve("cpu")))
        result = synthesise(generator, train_images, counts, config, seed=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        torch.save(
            [result.images.images, result.images.labels, list(result.images.ids), list(result.images.provenance)], part
        )
        part.replace(path)
    pixels, labels, ids, provenance = torch.load(path, weights_only=True)
    return ImageSet(pixels, labels, train_images.classes, tuple(ids), tuple(ids), tuple(provenance))


def _design(draws: Draws) -> str:
    return f"{draws.few} images of {draws.rare}, {draws.many} of each other class, {draws.size} px"


_COLUMNS = ("balanced_accuracy", "macro_auc", "rarest_recall")


def _table(out: Path, name: str, chosen: Sequence[str], reference_row: str, numbers: Sequence[int]) -> Iterator[str]:
    yield "| | arm | balanced accuracy | AUC | recall of the rare class | steps |"
    yield "|---|---|---|---|---|---|"
    for arm in _ARMS:
        reference = _results(out, name, reference_row, arm, numbers)
        for row in chosen:
            results = _results(out, name, row, arm, numbers)
            paired = sorted(results.keys() & reference.keys())
            if not paired:
                continue
            cells = [_cell([results[n][c] for n in paired], [reference[n][c] for n in paired]) for c in _COLUMNS]
            steps = fmean(results[n]["best_step"] for n in paired)
            yield f"| {MECHANICS[row].title} | {arm} | {' | '.join(cells)} | {steps:.0f} |"


def _differences(
    out: Path, names: Sequence[str], chosen: Sequence[str], reference_row: str, numbers: Sequence[int]
) -> Iterator[str]:
    """One line for each change and arm, with all sets side by side."""
    yield f"| | arm | {' | '.join(names)} |"
    yield "|---" * (len(names) + 2) + "|"
    for row, arm in itertools.product(chosen, _ARMS):
        cells = []
        for name in names:
            results, reference = (_results(out, name, r, arm, numbers) for r in (row, reference_row))
            paired = sorted(results.keys() & reference.keys())
            if len(paired) < 2:
                cells.append("")
                continue
            pairs = [_cell([results[n][c] for n in paired], [reference[n][c] for n in paired]) for c in _COLUMNS]
            shown = ", ".join(cell.partition("(")[2].rstrip(")") or "0" for cell in pairs)
            cells.append(shown if len(paired) == len(numbers) else f"{shown} ({len(paired)} draws)")
        if row != reference_row and any(cells):
            yield f"| {MECHANICS[row].title} | `{arm}` | {' | '.join(cells)} |"


def _results(out: Path, name: str, row: str, arm: str, numbers: Sequence[int]) -> dict[int, dict[str, float]]:
    paths = {n: out / f"{name}-{n}-{row}-{arm}.json" for n in numbers}
    return {n: json.loads(path.read_text()) for n, path in paths.items() if path.exists()}


def _cell(values: Sequence[float], reference: Sequence[float]) -> str:
    """`82.9 (+9.1 ± 1.4)`: the mean, and the paired difference with its standard error, in points."""
    differences = [100 * (a - b) for a, b in zip(values, reference, strict=True)]
    if not any(differences) or len(differences) < 2:
        return f"{100 * fmean(values):.1f}"
    error = stdev(differences) / math.sqrt(len(differences))
    return f"{100 * fmean(values):.1f} ({fmean(differences):+.1f} ± {error:.1f})"


if __name__ == "__main__":
    main()
