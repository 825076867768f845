"""pythae's side of the geometry probe, run by the Python of `.venv-pythae`: an RHVAE of one class and its sampler."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import RHVAE, RHVAEConfig
from pythae.samplers import RHVAESampler, RHVAESamplerConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor

from benchmarks.side_by_side import Stopwatch, serve
from benchmarks.side_pythae import Decoder, Encoder
from synaug_core.nets import vae


class _Narrow(RHVAE):  # type: ignore[misc]  # pythae has no types
    """pythae's model with a Gaussian likelihood of a chosen variance; its own is 1, which leaves blurred means."""

    variance = 1.0

    def _log_p_x_given_z(self, decoded: Tensor, images: Tensor) -> Tensor:
        return -0.5 * (decoded - images).square().flatten(1).sum(1) / self.variance


def make(
    images: str,
    output: str,
    *,
    count: int,
    seed: int,
    variance: float,
    width: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    model: dict[str, Any],
    sampler: dict[str, Any],
) -> dict[str, Any]:
    """Fit one class and sample it.

    Args:
        images: .npy file of uint8 (n, channels, size, size).
        output: .npy file to write, of the same kind, with `count` images.
        count: images to make.
        seed: of everything.
        variance: of the likelihood, in squared [0, 1] pixel units.
        width: of the nets, which are synaug's.
        steps: least number of optimiser steps; the last epoch is completed.
        batch_size: images in one step.
        learning_rate: of Adam.
        model: RHVAEConfig's fields.
        sampler: RHVAESamplerConfig's fields.
    """
    torch.manual_seed(seed)
    images_tensor = torch.from_numpy(np.load(images)).float() / 255
    nets = vae.ConvVAE(images_tensor.shape[1], images_tensor.shape[2], width, model["latent_dim"])
    nets.start_at(images_tensor.mean(0))
    with Stopwatch() as watch, tempfile.TemporaryDirectory() as folder:
        rhvae = _Narrow(
            RHVAEConfig(input_dim=tuple(images_tensor.shape[1:]), **model), Encoder(nets.encoder), Decoder(nets.decoder)
        )
        rhvae.variance = variance
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=-(-steps // -(-len(images_tensor) // batch_size)),
            per_device_train_batch_size=batch_size,
            learning_rate=learning_rate,
            no_cuda=True,
        )
        trainer = BaseTrainer(
            rhvae, BaseDataset(images_tensor, torch.zeros(len(images_tensor))), training_config=settings
        )
        trainer.train()
        fitted_model = trainer.model.eval()
        new = RHVAESampler(fitted_model, RHVAESamplerConfig(**sampler)).sample(num_samples=count)
    with torch.no_grad():
        latents = fitted_model.encoder(images_tensor).embedding
        error = (fitted_model.decoder(latents).reconstruction - images_tensor).square().mean()
    np.save(Path(output), (new.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    return {"seconds": watch.seconds, "error": float(error), "finite": bool(new.isfinite().all())}


if __name__ == "__main__":
    serve({"make": make})
