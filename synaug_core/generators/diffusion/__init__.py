"""One class-conditional denoising diffusion model for all classes."""

from synaug_core.generators.diffusion.generator import ConditionalDiffusion

__all__ = ["ConditionalDiffusion"]
