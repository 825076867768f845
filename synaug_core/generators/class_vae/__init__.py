"""One convolutional VAE per class (De La Fuente et al., arXiv 2409.10286)."""

from synaug_core.generators.class_vae.generator import ClassVAE

__all__ = ["ClassVAE"]
