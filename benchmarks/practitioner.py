"""What a practitioner's script reaches on the divisions that synaug makes: timm features with a logistic regression,
and a plain fine-tuning (`benchmarks/side_practitioner.py`, which knows nothing of synaug).

`python -m benchmarks.practitioner --sets wbc pbc --draws 6 --ways frozen fine_tuned` divides each set as often as
asked, with the data section and the seed of its example in `examples`, so that a `synaug run` of that example has the
same training, validation and test images; only that the images are as large as their source has them. It prints a
table: mean over the trainings, and its standard error. What an earlier call finished is found again in `--out`.

Sets with a split of their own have one division, on which the trainings differ by their seed; the frozen way does
nothing at random and is trained once there. The data are looked for where SYNAUG_DATA says, else in shared/data beside
the repository.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from benchmarks import side_practitioner
from synaug_core.config import DataConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.data.prepare import Prepared, prepare, prepare_divisions
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.results import rarest
from synaug_core.evaluate.scorer import scores
from synaug_core.names import slugs
from synaug_core.quality.features import features_for_splits

_ROOT = Path(__file__).resolve().parent.parent
_DATA = Path(os.environ.get("SYNAUG_DATA", _ROOT.parent / "shared" / "data"))
_SEED = 0
WAYS = ("frozen", "fine_tuned")
_BACKBONE = "tf_efficientnet_lite0"
_EPOCHS = 30


@dataclass(frozen=True)
class Practice:
    """A set of images, how it is divided, and what the networks are shown.

    Attributes:
        source: below the folder of data sets; or a built-in one.
        data: further keys of the data section.
        stored: pixels a side of the images as they are read: those of their source.
        shown: pixels a side that the networks see.
        flips: axes that images may be mirrored along: `h`, `hv`, or none.
        example: the file in `examples` with the same divisions.
    """

    source: str
    data: dict[str, Any]
    stored: int
    shown: int
    flips: str = "h"
    example: str | None = None

    @property
    def config(self) -> DataConfig:
        """The data section."""
        source = self.source if self.source == "digits" else str(_DATA / self.source)
        return DataConfig.model_validate({"source": source, "image_size": self.stored, **self.data})


SETS = {
    "digits": Practice(
        "digits", {"per_class": {"9": 8, "default": 40}, "split": {"draws": True}}, 16, 64, "", "draws-digits"
    ),
    "caltech37": Practice("caltech37", {"fit": "crop"}, 224, 224, "h", "caltech37"),
    "retina": Practice("retinamnist.npz", {}, 28, 112, "hv", "retinamnist"),
    "breast": Practice("breastmnist.npz", {}, 28, 224, "h", "breastmnist"),
    "breast-draws": Practice(
        "breastmnist.npz",
        {"per_class": {"0": 20, "default": 100}, "split": {"draws": True}},
        28,
        224,
        "h",
        "draws-breast",
    ),
    "wbc": Practice(
        "wbc",
        {"classes": ["EOSINOPHIL", "LYMPHOCYTE", "NEUTROPHIL"], "split": {"folds": 5}},
        128,
        224,
        "hv",
        "evidence-wbc",
    ),
    "pbc": Practice(
        "large/pbc_8classes.parquet",
        {"per_class": {"ig": 20, "default": 100}, "split": {"draws": True}},
        64,
        128,
        "hv",
        "draws-pbc",
    ),
    "malaria": Practice(
        "large/malaria_cells.npz",
        {"per_class": {"Parasitized": 20, "default": 100}, "split": {"draws": True}},
        64,
        128,
        "hv",
        "draws-malaria",
    ),
    "solar": Practice(
        "large/elpv_solar_cells.npz",
        {
            "classes": ["defective", "functional"],
            "per_class": {"defective": 20, "default": 100},
            "split": {"draws": True},
        },
        64,
        128,
        "hv",
    ),
}


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["caltech37", "wbc"], choices=SETS)
    parser.add_argument("--draws", type=int, default=6, help="divisions: draws, folds, or seeds of an own split")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--backbone", default=_BACKBONE, help="timm's name; others come from the hub")
    parser.add_argument("--size", type=int, help="pixels a side that the networks see; default: each set's own")
    parser.add_argument("--epochs", type=int, default=_EPOCHS, help="of a fine-tuning")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=_ROOT / ".synaug" / "practitioner")
    parser.add_argument("--tables-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    scripts = {name: _scripts(name, args) for name in args.sets}
    if not args.tables_only:
        for name in args.sets:
            for script in scripts[name]:
                complete(name, script, args.draws, args.out)
    print(f"\n{args.backbone}, points, mean ± standard error\n")
    print("\n".join(table(scripts, args.draws, args.out)))


@dataclass(frozen=True)
class Script:
    """One way of training on one set.

    Attributes:
        way: `frozen` or `fine_tuned`.
        backbone: timm's name.
        size: pixels a side that the network sees.
        epochs: of a fine-tuning.
    """

    way: str
    backbone: str
    size: int
    epochs: int

    @property
    def label(self) -> str:
        """In names of files: what the result depends on."""
        return "-".join(
            [self.way, self.backbone, str(self.size), *([str(self.epochs)] if self.way != "frozen" else [])]
        )

    def measure(self, data: Prepared, flips: str, seed: int) -> dict[str, float]:
        """Metrics on the test images of a division, and the seconds it took."""
        train, val, (test, labels) = map(_arrays, (data.train, data.val, data.test))
        start = time.perf_counter()
        if self.way == "frozen":
            rows = side_practitioner.frozen(train, val, test, backbone=self.backbone, size=self.size)
        else:
            rows = side_practitioner.fine_tuned(
                train,
                val,
                test,
                backbone=self.backbone,
                size=self.size,
                seed=seed,
                flips=flips,
                epochs=self.epochs,
            )
        seconds = time.perf_counter() - start
        values = scores(Predictions(data.test.ids, labels, np.ascontiguousarray(rows), data.test.classes))
        rare = slugs(data.test.classes)[rarest(data.train.counts(), data.test.counts())]
        return {
            "balanced_accuracy": values["balanced_accuracy"],
            "accuracy": values["accuracy"],
            "rarest_recall": values[f"class/{rare}/recall"],
            "macro_auc": values["macro_auc"],
            "seconds": seconds,
        }


def _scripts(name: str, args: argparse.Namespace) -> list[Script]:
    return [Script(way, args.backbone, args.size or SETS[name].shown, args.epochs) for way in args.ways]


def complete(name: str, script: Script, draws: int, out: Path) -> None:
    """Train what has no file yet, one after the other, each with a line of progress."""
    numbers = [n for n in _numbers(name, script, draws) if not _path(out, name, script, n).exists()]
    if not numbers:
        return
    for number, data in divisions(SETS[name].config, numbers):
        result = script.measure(data, SETS[name].flips, seed=number)
        path = _path(out, name, script, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(result))
        part.replace(path)
        print(
            f"{name} {number} {script.way}: {100 * result['balanced_accuracy']:.1f} in {result['seconds']:.0f} s",
            flush=True,
        )


def divisions(config: DataConfig, numbers: Sequence[int]) -> Iterator[tuple[int, Prepared]]:
    """The numbered divisions that a run of this data section makes: its draws, its folds (those of a repetition one
    after the other), or the one split as often as there are numbers."""
    if config.split.division_word is None:
        whole = prepare(config, seed=_SEED, describe=features_for_splits)
        yield from zip(numbers, itertools.repeat(whole), strict=False)
        return
    repetitions = math.ceil((max(numbers) + 1) / (config.split.folds or 1))
    prepared = prepare_divisions(config, repetitions=repetitions, seed=_SEED, describe=features_for_splits)
    for number, data in enumerate(prepared):
        if number in numbers:
            yield number, data


def _numbers(name: str, script: Script, draws: int) -> range:
    once = script.way == "frozen" and SETS[name].config.split.division_word is None
    return range(1 if once else draws)


def read_results(name: str, way: str, out: Path) -> list[dict[str, float]]:
    """Metrics of all trainings of a way with the set's own size and backbone that an earlier call finished."""
    script = Script(way, _BACKBONE, SETS[name].shown, _EPOCHS)
    return [json.loads(path.read_text()) for path in sorted(out.glob(f"{name}-[0-9]*-{script.label}.json"))]


def _arrays(images: ImageSet) -> side_practitioner.Part:
    return images.images.permute(0, 2, 3, 1).contiguous().numpy(), images.labels.numpy()


def _path(out: Path, name: str, script: Script, number: int) -> Path:
    return out / f"{name}-{number}-{script.label}.json"


_COLUMNS = ("balanced_accuracy", "accuracy", "rarest_recall", "macro_auc")


def table(scripts: dict[str, list[Script]], draws: int, out: Path) -> Iterator[str]:
    """Lines of Markdown, one for each set and way of which there are results."""
    yield "| set | way | pixels | trainings | balanced accuracy | accuracy | rarest recall | macro AUC | seconds |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, chosen in scripts.items():
        for script in chosen:
            paths = [_path(out, name, script, number) for number in _numbers(name, script, draws)]
            results = [json.loads(path.read_text()) for path in paths if path.exists()]
            if results:
                cells = [show_mean([result[column] for result in results]) for column in _COLUMNS]
                seconds = fmean(result["seconds"] for result in results)
                way = script.way.replace("_", "-")
                yield f"| {name} | {way} | {script.size} | {len(results)} | {' | '.join(cells)} | {seconds:.0f} |"


def show_mean(values: Sequence[float]) -> str:
    """`82.9 ± 1.4`: the mean and its standard error in points; the mean alone of one value."""
    error = f" ± {100 * stdev(values) / math.sqrt(len(values)):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{error}"


if __name__ == "__main__":
    main()
