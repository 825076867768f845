"""Does geometry-aware latent sampling beat plain interpolation on very few images?

RHVAE and its sampler (Chadebec et al., arXiv 2105.00026) as pythae has them, against synaug's class-specific VAE with
interpolation and with prior samples. Each repetition draws its own few training images, fits its own generators, fills
every class up to the same number of images, and trains one classifier an arm from the same initial weights for the
same number of steps, with no early stop. The judges are the training and validation images that were not drawn; test
images are never read, as this is a choice and not a claim.

    python -m benchmarks.rhvae_probe --data FOLDER --out FOLDER

pythae runs in `.venv-pythae` (`make bench` makes it), in a process of its own that works while classifiers train.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.null_simulation import sign_flip
from benchmarks.side_by_side import ROOT, Worker, worker
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import (
    ArmConfig,
    AugmentationConfig,
    ClassifierConfig,
    DataConfig,
    GeneratorConfig,
    SynthesisConfig,
)
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.data.prepare import prepare
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import scores
from synaug_core.generators import registry as generators
from synaug_core.generators.base import FitJob
from synaug_core.names import slugs
from synaug_core.report.tiles import Row, sheet
from synaug_core.seeds import derive, stream
from synaug_core.synthesis import registry as strategies
from synaug_core.synthesis.strategy import Source

_TOTAL = 200
"""Images of each class after filling up."""
_GENERATOR = GeneratorConfig(augment="none")
"""synaug's defaults, but both sides see the images as they are."""
_RHVAE: dict[str, Any] = {
    "width": _GENERATOR.width,
    "steps": 200,
    "batch_size": 50,
    "learning_rate": 1e-3,
    "model": {
        "latent_dim": 10,
        "n_lf": 1,
        "eps_lf": 0.001,
        "beta_zero": 0.3,
        "temperature": 1.5,
        "regularization": 0.01,
    },
    "sampler": {"mcmc_steps_nbr": 100, "n_lf": 15, "eps_lf": 0.03},
}
"""Metric and sampler as pythae's defaults, one leapfrog step in training; nets and likelihood variance are synaug's
for the same class, as pythae's own likelihoods (variance 1, or binary cross-entropy) leave blurred images."""
_CLASSIFIER = {"steps": 150, "batch_size": 32, "width": 16}
_TRADITIONAL = ("balanced", "traditional")
_REAL = {
    "original": ("natural", "none"),
    "balanced": ("balanced", "none"),
    "traditional": _TRADITIONAL,
}
_BASE = "interpolate"


class _Set(NamedTuple):
    """A data set, the images drawn of each class, and what the traditional augmentation may do."""

    config: DataConfig
    draw: dict[str, int]
    augmentation: AugmentationConfig


def _sets(folder: Path) -> dict[str, _Set]:
    cells = {"EOSINOPHIL": 40, "LYMPHOCYTE": 15, "NEUTROPHIL": 100}
    return {
        "breastmnist": _Set(
            DataConfig(source=str(folder / "breastmnist.npz")),
            {"0": 50, "1": 50},
            AugmentationConfig(mirror="horizontal", rotation=10),
        ),
        "wbc": _Set(
            DataConfig(source=str(folder / "wbc"), classes=tuple(cells), image_size=32),
            cells,
            AugmentationConfig(mirror="both", rotation=180),
        ),
    }


@dataclass
class _Outcome:
    """Balanced accuracies of each arm by repetition, and figures of the images of each way of making them."""

    accuracy: dict[str, list[float]] = field(default_factory=dict)
    recall: dict[str, list[float]] = field(default_factory=dict)
    images: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rhvae_errors: list[float] = field(default_factory=list)
    judges: list[int] = field(default_factory=list)


def _drawn(pool: ImageSet, counts: dict[str, int], seed: int) -> tuple[ImageSet, ImageSet]:
    """Few images of each class, and all others but near-duplicates of these."""
    rows: list[int] = []
    for number, name in enumerate(pool.classes):
        class_rows = (pool.labels == number).nonzero().flatten()
        order = torch.randperm(len(class_rows), generator=stream(derive(seed, "draw", name)))
        rows += class_rows[order[: counts[name]]].tolist()
    groups = {pool.groups[i] for i in rows}
    remaining = [i for i in range(len(pool)) if pool.groups[i] not in groups]
    return pool.take(rows), pool.take(remaining)


def _as_set(images: dict[str, Tensor], like: ImageSet) -> ImageSet:
    names = tuple(f"made {i}" for i in range(sum(map(len, images.values()))))
    return ImageSet(
        images=torch.cat(list(images.values())),
        labels=torch.cat([torch.full((len(part),), like.classes.index(name)) for name, part in images.items()]),
        classes=like.classes,
        ids=names,
        groups=names,
        provenance=("{}",) * len(names),
    )


def _figures(synthetic: ImageSet, real: ImageSet) -> tuple[float, float]:
    """Steps between neighbouring pixels over those of real images, and the median distance to the nearest training
    image of the class over the median distance between nearest training images; means over classes."""
    sharpness_values, distances = [], []
    for name in real.classes:
        synthetic_images, real_images = (s.of_class(name).images.float() for s in (synthetic, real))
        sharpness_values.append(
            float(synthetic_images.diff(dim=-1).abs().mean() / real_images.diff(dim=-1).abs().mean())
        )
        among = torch.cdist(real_images.flatten(1), real_images.flatten(1)).fill_diagonal_(torch.inf).amin(1).median()
        distances.append(
            float(torch.cdist(synthetic_images.flatten(1), real_images.flatten(1)).amin(1).median() / among)
        )
    return float(np.mean(sharpness_values)), float(np.mean(distances))


class _Repetition:
    """One draw: its generators, then a classifier for each arm."""

    def __init__(self, name: str, image_set: _Set, pool: ImageSet, seed: int, outcome: _Outcome) -> None:
        self.name, self.seed, self.outcome = name, seed, outcome
        self.real, self.judges = _drawn(pool, image_set.draw, seed)
        self.wanted = {c: _TOTAL - n for c, n in self.real.counts().items()}
        self.config = ClassifierConfig(augmentation=image_set.augmentation, **_CLASSIFIER)
        self.rarest = min(image_set.draw, key=lambda c: image_set.draw[c])
        outcome.judges.append(len(self.judges))

    def run(self, peer: Worker, pool: ThreadPoolExecutor, folder: Path) -> dict[str, ImageSet]:
        """All arms; the synthetic images by the way they were made."""
        start_time = time.monotonic()
        vae = generators.create(_GENERATOR, self.real.classes, self.real.channels, self.real.size)
        vae.fit(self.real, FitJob(seed=derive(self.seed, "vae"), device=torch.device("cpu")))
        self._spent("fit VAEs", time.monotonic() - start_time)
        variances = {c: vae.reports[c].variance for c in self.real.classes}
        coming = pool.submit(self._rhvae, peer, folder, variances)
        synthetic: dict[str, ImageSet] = {}
        for name in (_BASE, "prior"):
            make = strategies.find(name).make
            images = {
                c: make(
                    Source(c, self.real.of_class(c), vae), n, SynthesisConfig(), seed=derive(self.seed, name, c)
                ).images
                for c, n in self.wanted.items()
            }
            synthetic[name] = _as_set(images, self.real)
        for name, (sampling, augmentation) in _REAL.items():
            self._judge(name, sampling, augmentation, self.real)
        for name in (_BASE, "prior"):
            self._with(name, synthetic[name])
        synthetic["rhvae"] = _as_set(coming.result(), self.real)
        self._with("rhvae", synthetic["rhvae"])
        return synthetic

    def _rhvae(self, peer: Worker, folder: Path, variances: dict[str, float]) -> dict[str, Tensor]:
        result = {}
        for c, n in self.wanted.items():
            input_file, output_file = folder / f"{self.name}-in.npy", folder / f"{self.name}-out.npy"
            np.save(input_file, self.real.of_class(c).images.numpy())
            seed = derive(self.seed, "rhvae", c) % 2**31
            answer = peer.ask(
                {
                    "do": "make",
                    "images": str(input_file),
                    "output": str(output_file),
                    "count": n,
                    "seed": seed,
                    "variance": variances[c],
                    **_RHVAE,
                }
            )
            if not answer["finite"]:
                raise RuntimeError(f"{self.name}, {c}: RHVAE made images that are not finite")
            self._spent("fit and sample RHVAEs", answer["seconds"][0])
            self.outcome.rhvae_errors.append(answer["error"])
            result[c] = torch.from_numpy(np.load(output_file))
        return result

    def _with(self, name: str, synthetic: ImageSet) -> None:
        self.outcome.images.setdefault(name, []).append(_figures(synthetic, self.real))
        joined = concatenate([self.real, synthetic])
        self._judge(name, "balanced", "none", joined)
        self._judge(f"{name} + traditional", *_TRADITIONAL, joined)

    def _judge(self, name: str, sampling: str, augmentation: str, images: ImageSet) -> None:
        arm = ArmConfig.model_validate({"name": "probe", "sampling": sampling, "augmentation": augmentation})
        start_time = time.monotonic()
        classifier = train(
            TrainingJob(
                self.config,
                arm,
                images,
                self.real.take([]),
                init_seed=derive(self.seed, "init"),
                batch_seed=derive(self.seed, "batches"),
            )
        )
        self._spent("train classifiers", time.monotonic() - start_time)
        judges = self.judges
        result = scores(Predictions(judges.ids, judges.labels.numpy(), classifier.predict(judges), judges.classes))
        recall = f"class/{slugs(judges.classes)[self.rarest]}/recall"
        self.outcome.accuracy.setdefault(name, []).append(result["balanced_accuracy"])
        self.outcome.recall.setdefault(name, []).append(result[recall])

    def _spent(self, name: str, seconds: float) -> None:
        self.outcome.seconds[name] = self.outcome.seconds.get(name, 0.0) + seconds


def _probe(name: str, image_set: _Set, repetitions: int, out: Path) -> None:
    start_time = time.monotonic()
    data = prepare(image_set.config, seed=0)
    pool = concatenate([data.train, data.val])
    outcome = _Outcome()
    python = ROOT / ".venv-pythae" / "bin" / "python"
    with worker(python, "benchmarks.side_rhvae", 1) as peer, ThreadPoolExecutor(1) as threads:
        for seed in range(repetitions):
            repetition = _Repetition(name, image_set, pool, seed, outcome)
            synthetic = repetition.run(peer, threads, out)
            if seed == 0:
                _sheet(name, repetition.real, synthetic).save(out / f"{name}.png")
            outcome.seconds["in all"] = time.monotonic() - start_time
            text = json.dumps(_summary(image_set, outcome), indent=1)
            (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            print(f"  {name}: {seed + 1} of {repetitions}, {outcome.seconds['in all']:.0f} s", flush=True)
    for file in out.glob(f"{name}-*.npy"):
        file.unlink()


def _sheet(name: str, real: ImageSet, synthetic: dict[str, ImageSet]) -> Any:
    rows = [
        Row(c if way == "real" else "", way, images.of_class(c).images[:14], space=12 if way == "real" else 0)
        for c in real.classes
        for way, images in {"real": real, **synthetic}.items()
    ]
    return sheet(rows, heading=f"{name}: real and made images of the first draw", tile=56)


def _summary(image_set: _Set, outcome: _Outcome) -> dict[str, Any]:
    """Each arm's mean and its paired differences to interpolation with the same augmentation."""
    arms = {}
    for name, values in outcome.accuracy.items():
        augmented = name.endswith("traditional")
        base = outcome.accuracy[f"{_BASE} + traditional" if augmented else _BASE]
        differences = [a - b for a, b in zip(values, base, strict=True)]
        arms[name] = {
            "balanced_accuracy": values,
            "mean": float(np.mean(values)),
            "rarest_recall": float(np.mean(outcome.recall[name])),
            "differences": differences,
            "difference": float(np.mean(differences)),
            "p": sign_flip(differences),
        }
    return {
        "drawn": image_set.draw,
        "filled_up_to": _TOTAL,
        "judges": outcome.judges,
        "arms": arms,
        "images": {way: np.mean(pairs, axis=0).tolist() for way, pairs in outcome.images.items()},
        "rhvae": {**_RHVAE, "error": float(np.mean(outcome.rhvae_errors))},
        "seconds": outcome.seconds,
    }


def _table(name: str, result: dict[str, Any]) -> str:
    counts_text = ", ".join(f"{c} {n}" for c, n in result["drawn"].items())
    count = len(result["judges"])
    lines = [
        f"{name}: {counts_text} images drawn, {count} times, filled up to {result['filled_up_to']} of each class; "
        f"{min(result['judges'])} to {max(result['judges'])} judges; {result['seconds']['in all']:.0f} s",
        f"  {'arm':26}{'balanced accuracy':>18}{'rarest recall':>15}{'to interpolation':>18}{'better in':>11}{'p':>8}",
    ]
    for arm, row in result["arms"].items():
        gains = sum(d > 0 for d in row["differences"])
        is_base = arm.split(" + ")[0] == _BASE
        difference_text = (
            "" if is_base else f"{100 * row['difference']:+18.1f}{f'{gains} of {count}':>11}{row['p']:8.3f}"
        )
        lines.append(f"  {arm:26}{100 * row['mean']:18.1f}{100 * row['rarest_recall']:15.1f}{difference_text}")
    lines.append(f"  {'images':26}{'sharpness by real':>18}{'nearest by real':>17}")
    lines += [f"  {way:26}{sharpness:18.2f}{distance:17.2f}" for way, (sharpness, distance) in result["images"].items()]
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for, and print the tables of all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = os.environ.get("SYNAUG_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("names", nargs="*", help="breastmnist, wbc; default: both")
    parser.add_argument("--data", type=Path, default=Path(place), help="folder of breastmnist.npz and wbc/")
    parser.add_argument("--out", type=Path, default=ROOT / ".synaug" / "rhvae_probe")
    parser.add_argument("--repetitions", type=int, default=6)
    options = parser.parse_args()
    if not (ROOT / ".venv-pythae" / "bin" / "python").exists():
        sys.exit("pythae's environment is missing: `make bench` makes it")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    sets = _sets(options.data)
    if unknown := set(options.names) - set(sets):
        sys.exit(f"no such data set: {', '.join(sorted(unknown))}; there are {', '.join(sets)}")
    for name in options.names or sets:
        _probe(name, sets[name], options.repetitions, options.out)
        print(_table(name, json.loads((options.out / f"{name}.json").read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
