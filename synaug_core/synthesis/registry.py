"""The strategies by name. Others register theirs the same way."""

from synaug_core import errors, plugins
from synaug_core.synthesis import duplicate, interpolate, mixup, oracle, paste, prior, reconstruct, targeted, transfer
from synaug_core.synthesis.strategy import Entry

__all__ = ["Entry", "find", "names", "register"]

_STRATEGIES: dict[str, Entry] = {
    "cutmix": Entry(
        paste.cutmix,
        generator=False,
        description="training images with a rectangle of an image of any class, labels by area",
    ),
    "duplicate": Entry(
        duplicate.duplicate, generator=False, copies=True, repeats=True, description="copies of training images"
    ),
    "interpolate": Entry(
        interpolate.interpolate,
        latent=True,
        detail=True,
        description="decoded from between two training images of a class in latent space",
    ),
    "mixup": Entry(mixup.mixup, generator=False, description="mixtures of two training images of a class"),
    "oracle": Entry(
        oracle.oracle,
        generator=False,
        copies=True,
        held_back=True,
        description="real images that were left out of training, in the synthetic ones' place",
    ),
    "paste": Entry(
        paste.paste,
        generator=False,
        asks_classifier=lambda config: config.paste.mask == "map",
        description="parts of training images on images of frequent classes",
    ),
    "prior": Entry(prior.prior, description="sampled from the generator"),
    "reconstruct": Entry(
        reconstruct.reconstruct,
        latent=True,
        repeats=True,
        description="training images through the generator and back",
    ),
    "random": Entry(
        targeted.random,
        latent=True,
        target=True,
        detail=True,
        description="training images moved at random in latent space, as far as targeted ones",
    ),
    "targeted": Entry(
        targeted.targeted,
        latent=True,
        target=True,
        detail=True,
        description="training images moved in latent space to where a classifier is unsure",
    ),
    "transfer": Entry(
        transfer.transfer,
        latent=True,
        joint=True,
        detail=True,
        always_detail=True,
        description="training images changed as one image of a frequent class differs from another",
    ),
    "transfer-random": Entry(
        transfer.transfer_random,
        latent=True,
        joint=True,
        detail=True,
        always_detail=True,
        description="training images changed as much as transferred ones, in a random direction of the latent space",
    ),
}


def register(name: str, entry: Entry) -> None:
    """Register a strategy under a name.

    Raises:
        ConfigError: the name belongs to another strategy.
    """
    if _STRATEGIES.setdefault(name, entry) != entry:
        raise errors.ConfigError(f"synthesis strategy {name!r} is taken")


def names() -> tuple[str, ...]:
    """List the names of all strategies, sorted, with those of plugins."""
    return tuple(sorted({*_STRATEGIES, *plugins.plugin_names(plugins.STRATEGIES)}))


def find(name: str) -> Entry:
    """Return the entry of a strategy.

    Raises:
        ConfigError: there is none, or the plugin that announces it cannot be used.
    """
    if name not in _STRATEGIES and (plugin := plugins.load_plugin(plugins.STRATEGIES, name)) is not None:
        if not isinstance(plugin, Entry):
            raise errors.ConfigError(
                f"plugin {name!r} ({plugins.STRATEGIES}): {plugin!r} is no Entry of synaug_core.synthesis.registry"
            )
        register(name, plugin)
    if name not in _STRATEGIES:
        raise errors.ConfigError(f"synthesis.strategy: unknown strategy {name!r}; known are {', '.join(names())}")
    return _STRATEGIES[name]
