"""The denoising network, and what belongs to it in diffusers: the noise schedule and the solvers.

No other file imports diffusers.
"""

import importlib.util
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synaug_core.config.generator import Sampler
from synaug_core.errors import ConfigError

__all__ = ["Denoiser", "check_available", "levels_of", "make_solver", "signal_shares"]

_GROUPS = 8
"""Groups of the normalisation; the width is rounded up to a multiple."""
_SMALLEST_MAP = 7
"""Maps are halved as long as their side stays at or above this, where attention is cheap."""
_MOST_LEVELS = 5
_WIDEST = 4
"""Channels of the deepest map over those of the first."""


def check_available() -> None:
    """Nothing where diffusers is installed.

    Raises:
        ConfigError: it is not.
    """
    if importlib.util.find_spec("diffusers") is None:
        raise ConfigError("generator.kind: diffusion needs the package diffusers; run `pip install diffusers`")


def levels_of(size: int) -> int:
    """Resolutions of the U-Net for images of `size` px: 2 for 8 to 24 px, 3 to 48, 4 to 96, 5 above."""
    levels = 1
    while levels < _MOST_LEVELS and (levels < 2 or -(-size // 2**levels) >= _SMALLEST_MAP):
        levels += 1
    return levels


def signal_shares(noise_levels: int) -> Tensor:
    """Share of the signal in the variance at each level, float64 (noise_levels,), falling from about 1 to about 0.

    The cosine schedule of Nichol and Dhariwal (arXiv 2102.09672, eq. 17): it spends its levels evenly on small
    images too, where a linear one is all noise after half of them.
    """
    from diffusers import DDPMScheduler

    betas = DDPMScheduler(num_train_timesteps=noise_levels, beta_schedule="squaredcos_cap_v2").betas
    return torch.cumprod(1 - betas.to(torch.float64), dim=0)


def make_solver(kind: Sampler, noise_levels: int, steps: int) -> Any:
    """A solver of `steps` steps from pure noise to the image, deterministic; it is fed the denoised image.

    `dpm` is DPM-Solver++ of second order, multistep (Lu et al., arXiv 2211.01095, algorithm 2). Its first order is
    DDIM with eta = 0 (the same paper, section 4.1), hence `ddim`; diffusers' own DDIM class rounds its levels when
    they are not a multiple of the steps, and then leaves noise in the image.
    """
    from diffusers import DPMSolverMultistepScheduler

    solver = DPMSolverMultistepScheduler(
        num_train_timesteps=noise_levels,
        beta_schedule="squaredcos_cap_v2",
        solver_order=2 if kind == "dpm" else 1,
        algorithm_type="dpmsolver++",
        prediction_type="sample",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )
    solver.set_timesteps(steps)
    return solver


class Denoiser(nn.Module):
    """A small U-Net that separates signal from noise, given the level and a condition.

    Args:
        channels: 1 or 3.
        size: side of the images in pixels, 8 to 128.
        width: channels at full resolution, rounded up to a multiple of 8; doubled with each halving, up to 4 times.
        condition: length of the condition vector. It is added to the embedding of the level by one linear map
            without offset, so that the zero vector adds nothing.
    """

    def __init__(self, channels: int, size: int, width: int, condition: int) -> None:
        super().__init__()
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.full((channels, 1, 1), 0.5))
        self.register_buffer("spread", torch.full((channels, 1, 1), 0.5))
        from diffusers import UNet2DModel
        from diffusers.models.attention_processor import Attention, AttnProcessor

        levels = levels_of(size)
        base = -(-width // _GROUPS) * _GROUPS
        self.pad = -size % 2 ** (levels - 1)
        """Rows and columns missing to a side that can be halved often enough."""
        embedding = 4 * base
        self.condition = nn.Linear(condition, embedding, bias=False)
        self.unet = UNet2DModel(
            sample_size=size + self.pad,
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownBlock2D",) * levels,
            up_block_types=("UpBlock2D",) * levels,
            block_out_channels=tuple(base * min(2**i, _WIDEST) for i in range(levels)),
            layers_per_block=1,
            norm_num_groups=_GROUPS,
            attention_head_dim=min(32, base * 2),
            resnet_time_scale_shift="scale_shift",
            class_embed_type="identity",
            time_embedding_dim=embedding,
        )
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)
        for module in self.unet.modules():
            if isinstance(module, Attention):
                module.set_processor(AttnProcessor())  # plain matrix products repeat on every device

    def standardise(self, pixels: Tensor) -> Tensor:
        """Images in [0, 1] in the units that noise is added in: mean 0 and variance 1 in each channel.

        Noise schedules are made for data of variance 1; a dark grey set without this has a tenth of it, and most
        levels then hide all detail.
        """
        return (pixels - self.centre) / self.spread

    def to_pixels(self, images: Tensor) -> Tensor:
        """The inverse of `standardise`."""
        return images * self.spread + self.centre

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Black and white in standardised units, float32 (channels, 1, 1) each."""
        return self.standardise(torch.zeros_like(self.centre)), self.standardise(torch.ones_like(self.centre))

    def forward(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """The velocity of noisy images.

        Args:
            noisy: float32 (n, channels, size, size), standardised.
            level: int64 (n,), 0 for the least noise.
            condition: float32 (n, condition).

        Returns:
            Float32 (n, channels, size, size).
        """
        side = noisy.shape[-1]
        before, after = self.pad // 2, self.pad - self.pad // 2
        padded = F.pad(noisy, (before, after, before, after)) if self.pad else noisy
        velocity: Tensor = self.unet(padded, level, self.condition(condition), return_dict=False)[0]
        return velocity[..., before : before + side, before : before + side]
