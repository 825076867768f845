"""The entry points that read models: what hostile cases change in a folder that the product itself wrote."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from corpus.cases import Case, mutated


def _images() -> Any:
    """A tiny set that models are fitted on."""
    import torch

    from synaug_core.data.imageset import ImageSet

    made = torch.randint(0, 256, (12, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    names = tuple(f"i{n}" for n in range(12))
    return ImageSet(made, torch.arange(12) % 2, ("a", "b"), names, ("",) * 12, ("{}",) * 12)


def valid_model(door: str, place: Path) -> Path:
    """A folder that the product itself wrote; made once."""
    folder = place / f"valid-{door}"
    if folder.exists():
        return folder
    from synaug_core.config import ArmConfig, ClassifierConfig, GeneratorConfig

    if door == "classifier":
        from synaug_core.classify.training import TrainingJob, train

        arm = ArmConfig(name="x", sampling="balanced", augmentation="none")
        config = ClassifierConfig(steps=2, evaluate_every=1, width=8)
        train(TrainingJob(config, arm, _images(), _images(), init_seed=0, batch_seed=0)).save(folder)
    else:
        import torch

        from synaug_core.generators import registry
        from synaug_core.generators.base import FitJob

        options = GeneratorConfig(kind=door.partition("-")[2], steps=2, evaluate_every=1, width=8)
        made = registry.create(options, ("a", "b"), 1, 16)
        made.fit(_images(), FitJob(seed=0, device=torch.device("cpu"))).save(folder)
    return folder


def changed_model(case: Case, folder: Path, place: Path) -> Path:
    """A valid folder with the case's changes."""
    target = folder / "model"
    shutil.copytree(valid_model(case.door, place), target)
    spec = json.loads((target / "spec.json").read_text())
    for name, data in case.files.items():
        (target / name).write_bytes(data)
    for order in case.say:
        if order.startswith("["):
            key, value = json.loads(order)
            *above, last = key.split(".")
            inner = spec
            for part in above:
                inner = inner[part]
            inner.pop(last, None)
            if value != "LEFT OUT":
                inner[last] = value
            (target / "spec.json").write_text(json.dumps(spec))
        elif order.startswith("without "):
            (target / order.removeprefix("without ")).unlink()
        elif order.startswith("mutate "):
            _, name, seed = order.split()
            (target / name).write_bytes(mutated((target / name).read_bytes(), random.Random(int(seed))))
        elif order == "seal" and "weights" in spec:  # the digest is right: whoever changes one file can change both
            from synaug_core import digests

            spec["weights"] = digests.of_bytes((target / "weights.safetensors").read_bytes())
            (target / "spec.json").write_text(json.dumps(spec))
    return target


def judges(case: Case, folder: Path) -> None:
    from synaug_core.quality.judge import Judges

    Judges.load(folder)


def checkpoint(case: Case, folder: Path) -> None:
    import torch

    from synaug_core.checkpoints import Checkpoint

    file = folder / "x.pt"
    if not file.exists():
        torch.save({"step": 3, "model": {"w": torch.zeros(4)}}, file)
        file.write_bytes(mutated(file.read_bytes(), random.Random(int(case.say[0]))))
    Checkpoint(file).load()


def weights(case: Case, folder: Path) -> None:
    from synaug_core.classify.backbones import read_weights

    [file] = folder.iterdir()
    read_weights(file)
