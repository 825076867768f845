"""One autoencoder with a spatial latent for all classes, which targeted synthesis starts from."""

from synaug_core.generators.autoencoder.generator import SpatialAutoencoder

__all__ = ["SpatialAutoencoder"]
