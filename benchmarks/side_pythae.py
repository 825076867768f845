"""pythae's side of the comparison, run by the Python of `.venv-pythae`: the same nets in its models and trainer."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.samplers import NormalSampler
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from benchmarks.side_by_side import Stopwatch, serve
from benchmarks.workload import Workload, loss, nets, pixels


class Encoder(BaseEncoder):  # type: ignore[misc]  # pythae has no types
    """Our encoder as pythae's."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> ModelOutput:
        """Images to means and log variances."""
        mean, log_variance = self.net(x)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):  # type: ignore[misc]  # pythae has no types
    """Our decoder as pythae's."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> ModelOutput:
        """Latent vectors to images."""
        return ModelOutput(reconstruction=self.net(z))


class _Side:
    """Holds the last models, so that images can be made from them."""

    def __init__(self) -> None:
        self.models: list[VAE] = []
        self.images: list[Tensor] = []

    def train(self, **values: Any) -> dict[str, Any]:
        """Train one model a class, one after the other, as its users do."""
        work = Workload(**values)
        self.images = [pixels(work, number).float() / 255 for number in range(work.classes)]
        losses = []
        with tempfile.TemporaryDirectory() as folder, Stopwatch(work.device) as watch:
            self.models = [self._fit(work, number, folder) for number in range(work.classes)]
        for model, images in zip(self.models, self.images, strict=True):
            with torch.no_grad():
                coded = model.encoder(images.to(work.device))
                decoded = model.decoder(coded.embedding).reconstruction
            losses.append(loss(images, decoded.cpu(), coded.embedding.cpu(), coded.log_covariance.cpu()))
        return {"seconds": watch.seconds, "loss": sum(losses) / len(losses)}

    def _fit(self, work: Workload, number: int, folder: str) -> VAE:
        images = self.images[number]
        encoder, decoder = nets(work, number)
        config = VAEConfig(input_dim=tuple(images.shape[1:]), latent_dim=work.latent_dim)
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=work.epochs,
            per_device_train_batch_size=work.batch_size,
            learning_rate=work.learning_rate,
            no_cuda=torch.device(work.device).type == "cpu",
        )
        dataset = BaseDataset(images, torch.zeros(len(images)))
        trainer = BaseTrainer(VAE(config, Encoder(encoder), Decoder(decoder)), dataset, training_config=settings)
        trainer.train()
        return trainer.model

    def sample(self, count: int) -> dict[str, Any]:
        """Images from each model's sampler: decoded noise, nothing encoded."""
        with Stopwatch() as watch:
            images = [NormalSampler(model).sample(num_samples=count, batch_size=256).cpu() for model in self.models]
        return {"seconds": watch.seconds, "images": sum(map(len, images))}

    def interpolate(self, count: int) -> dict[str, Any]:
        """Images from each model's `interpolate`, ten between two ends (its default)."""
        total = 0
        with Stopwatch() as watch:
            for model, images in zip(self.models, self.images, strict=True):
                pairs = images[torch.randint(len(images), (2, count // 10))].to(model.device)
                with torch.no_grad():
                    total += len(model.interpolate(pairs[0], pairs[1]).flatten(0, 1).cpu())
        return {"seconds": watch.seconds, "images": total}


if __name__ == "__main__":
    side = _Side()
    serve({"train": side.train, "sample": side.sample, "interpolate": side.interpolate})
