"""Both sides of `classifier_loop`: synaug's loop, and the loop of a user who knows torch well."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from benchmarks.side_by_side import Stopwatch, serve
from synaug_core.classify import training
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.testing.conformance import make_images

__all__ = ["InMemory", "SynaugSide", "UserSide", "build_network", "fit_classifier"]

Answer = dict[str, Any]

_CLASSES = {"a": 250, "b": 100, "c": 40}
_EVERY = 25


def _images(size: int) -> tuple[ImageSet, ImageSet]:
    """Training and validation images in colour."""
    images = make_images(_CLASSES, 3, size)
    every_fifth = torch.arange(len(images)) % 5 == 0
    return images.take(~every_fifth), images.take(every_fifth)


class SynaugSide:
    """The one training loop of every arm."""

    def train(self, size: int, steps: int, augment: bool, backbone: str, width: int, precision: Any) -> Answer:
        """All steps, class-balanced batches, an evaluation every 25 steps."""
        train, val = _images(size)
        config = ClassifierConfig(
            backbone=backbone, stem="standard", width=width, steps=steps, evaluate_every=_EVERY, patience=10_000
        )
        arm = ArmConfig(name="x", sampling="balanced", augmentation="traditional" if augment else "none")
        with Stopwatch() as watch:
            trained = training.train(
                training.TrainingJob(config, arm, train, val, init_seed=0, batch_seed=0, precision=precision)
            )
        return {"seconds": watch.seconds, "steps": trained.history.stopped_at}


class UserSide:
    """Whose images lie in memory or in class folders, and who has them loaded in this process or by two others."""

    def train(
        self, size: int, steps: int, augment: bool, backbone: str, width: int, folder: bool, workers: int
    ) -> Answer:
        """The same training with a DataLoader and torchvision's transforms."""
        train, val = _images(size)
        with tempfile.TemporaryDirectory() as place:
            if folder:
                _write(train, Path(place))
            with Stopwatch() as watch:
                dataset: Dataset[Any] = _folder(Path(place), augment) if folder else InMemory(train, augment)
                fit_classifier(dataset, train, val, steps=steps, backbone=backbone, width=width, workers=workers)
        return {"seconds": watch.seconds, "steps": steps}


class InMemory(Dataset[tuple[Tensor, int]]):
    """uint8 images as a tensor, changed one by one when they are asked for."""

    def __init__(self, images: ImageSet, augment: bool) -> None:
        self.images, self.labels = images.images, images.labels.tolist()
        self.change = _transforms(augment)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.change(self.images[index]), self.labels[index]


def _transforms(augment: bool, *, decoded: bool = False) -> Any:
    """torchvision's, with the ranges of synaug's defaults."""
    from torchvision.transforms import v2

    changes: list[Any] = [
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(30, translate=(0.1, 0.1), scale=(0.87, 1.15), interpolation=v2.InterpolationMode.BILINEAR),
        v2.ColorJitter(brightness=0.15, contrast=0.15),
    ]
    normal = [v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.5,), (0.25,))]
    return v2.Compose([*([v2.ToImage()] if decoded else []), *(changes if augment else []), *normal])


def _write(images: ImageSet, place: Path) -> None:
    from PIL import Image

    for number, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        file = place / images.classes[label] / f"{number:05}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)


def _folder(place: Path, augment: bool) -> Any:
    from torchvision.datasets import ImageFolder

    return ImageFolder(str(place), transform=_transforms(augment, decoded=True))


def build_network(backbone: str, classes: int, channels: int, size: int, width: int) -> nn.Module:
    """timm's, or layer by layer the shape of synaug's small network."""
    if backbone != "small_cnn":
        import timm

        network: nn.Module = timm.create_model(backbone, num_classes=classes, in_chans=channels, drop_rate=0.3)
        return network
    layers: list[nn.Module] = []
    inputs, outputs = channels, width
    while size >= 6:
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        size, inputs, outputs = size // 2, outputs, min(2 * outputs, 4 * width)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(inputs, classes))
    return nn.Sequential(*layers, *head)


def fit_classifier(
    dataset: Dataset[Any],
    train: ImageSet,
    val: ImageSet,
    *,
    steps: int,
    backbone: str,
    width: int,
    workers: int = 0,
    balanced: bool = True,
) -> nn.Module:
    """AdamW with a cosine schedule, classes drawn equally often, the weights with the lowest validation loss."""
    weights = 1 / torch.bincount(train.labels).float()[train.labels] if balanced else torch.ones(len(train))
    sampler = WeightedRandomSampler(weights.tolist(), steps * 64)
    loader = DataLoader(dataset, batch_size=64, sampler=sampler, num_workers=workers)
    held_out = DataLoader(InMemory(val, augment=False), batch_size=256)
    model = build_network(backbone, len(train.classes), train.channels, train.size, width).to(
        memory_format=torch.channels_last
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, state = float("inf"), model.state_dict()
    for step, (images, labels) in enumerate(_endless(loader), start=1):
        model.train()
        loss = F.cross_entropy(model(images.contiguous(memory_format=torch.channels_last)), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
        optimizer.step()
        schedule.step()
        if step % _EVERY == 0 or step == steps:
            model.eval()
            with torch.no_grad():
                val_loss = sum(float(F.cross_entropy(model(x), y, reduction="sum")) for x, y in held_out)
            if val_loss < best:
                best, state = val_loss, copy.deepcopy(model.state_dict())
        if step == steps:
            break
    model.load_state_dict(state)
    return model


def _endless(loader: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


if __name__ == "__main__":
    serve({"synaug": SynaugSide().train, "user": UserSide().train})
