"""Training images through the generator and back: the control for strategies that start from them."""

from synaug_core.config import SynthesisConfig
from synaug_core.generators import pixels, randoms
from synaug_core.seeds import derive
from synaug_core.synthesis import latent, strategy

__all__ = ["reconstruct"]


def reconstruct(source: strategy.Source, n: int, config: SynthesisConfig, *, seed: int) -> strategy.NewImages:
    """Decode the posterior's mean, or with `ends: sample` a sample, of each training image in turn.

    The images come in a random order, all of them before any comes again. With the detail given back they would be
    the training images themselves, so `config.detail` has no say.

    Raises:
        ConfigError: the generator has no latent space.
    """
    generator, images, class_name = source.latent("reconstruct"), source.images, source.class_name
    mean, log_variance = generator.posteriors(images.images, class_name)
    rows = randoms.cycle(n, len(images), derive(seed, "first"))
    z = latent.ends(mean[rows], log_variance[rows], config.ends, derive(seed, "start"))
    decoded = pixels.in_blocks(n, lambda block: pixels.to_uint8(generator.decode(z[block], class_name)), z.device)
    return strategy.NewImages(decoded, [{"parents": [images.ids[i]]} for i in rows.tolist()])
