"""Checks of a configuration that need no image, made before anything is read or started."""

from pathlib import Path

from synaug_core.config import ArmConfig, ClassifierConfig, Config
from synaug_core.config.sweep import SweepConfig, cells
from synaug_core.errors import ConfigError
from synaug_core.packaged_weights import packaged_weights

__all__ = ["check_config", "check_sweep"]


def check_config(config: Config) -> None:
    """Refuse names and values that fit each other with no images whatever. Loads torch, and the plugins that are named.

    Raises:
        ConfigError: an unknown generator, strategy or backbone; an arm that cannot be trained in the way of the
            classifier; a strategy that its generator or the classifier cannot serve; a positive control where no image
            is left out of training; a value that cannot be searched; weights that no package has, or that small_cnn
            has not; a plugin that cannot
            be used.
    """
    from synaug_core.classify.search_space import checked_spaces

    if all(arm.is_positive_control for arm in config.arms):
        raise ConfigError("arms: a positive control shows what other arms could gain; add one, such as control")
    for arm in config.arms:
        if arm.is_positive_control and not config.data.leaves_images_out:
            raise ConfigError(
                f"arm {arm.name}: it takes real images that are left out of training, and none are: set data.per_class "
                "(such as 20, or {rare: 20, default: 100}) or data.long_tail, or leave the arm out"
            )
        _check_way(config, arm)
        _check_synthesis(config, arm)
        if arm.online is not None:
            key = f"arm {arm.name}: online"
            kind = _without_latent(config, arm.online.generator, key)
            if kind is not None:
                raise ConfigError(f"{key}.generator: {_lacks('online synthesis', kind)}; use {_latent_kinds()}")
    if config.tuning.trials:
        checked_spaces(config.tuning)
    if config.classifier.is_named:
        _check_network(config.classifier)


def check_sweep(sweep: SweepConfig) -> None:
    """`check_config` of every combination, which an error names. Raises as that does."""
    for cell in cells(sweep):
        try:
            check_config(cell.config)
        except ConfigError as error:
            raise ConfigError(f"sweep, at {cell.label}: {error}") from error


def _check_network(classifier: ClassifierConfig) -> None:
    if (obstacle := classifier.weights_obstacle) is not None:
        raise ConfigError(obstacle)
    if classifier.backbone == "small_cnn":
        return
    from synaug_core.classify.backbones import check_name

    check_name(classifier.backbone)
    if classifier.pretrained == "package":
        packaged_weights(classifier.backbone)


def _check_way(config: Config, arm: ArmConfig) -> None:
    """An arm with candidates goes without those that cannot be; one has to be left."""
    obstacles = [config.classifier.obstacle_to(variant) for variant in arm.variants]
    if None not in obstacles:
        subject = f"arm {arm.name}: " if not arm.candidates else f"arm {arm.name}: none of its candidates can be: "
        raise ConfigError(f"{subject}{obstacles[0]}")


def _check_synthesis(config: Config, arm: ArmConfig) -> None:
    from synaug_core.generators import registry as generators
    from synaug_core.synthesis import registry

    synthesis = arm.synthesis
    if synthesis is None:
        return
    key = "synthesis" if synthesis == config.synthesis else f"arm {arm.name}: synthesis"
    if synthesis.strategy not in registry.names():
        strategies = ", ".join(registry.names())
        raise ConfigError(f"{key}.strategy: unknown strategy {synthesis.strategy!r}; known are {strategies}")
    entry = registry.find(synthesis.strategy)
    if entry.generator:
        kind = _without_latent(config, synthesis.generator, key)
        if entry.latent and kind is not None:
            lacks = _lacks(synthesis.strategy, kind)
            raise ConfigError(f"{key}.strategy: {lacks}; use prior, or a generator of kind {_latent_kinds()}")
        if entry.joint and not generators.find(config.generator_named(synthesis.generator).kind).joint:
            raise ConfigError(
                f"{key}.strategy: {synthesis.strategy} needs one latent space for all classes; set {key}.generator to "
                "one of kind autoencoder"
            )
    if synthesis.paste.masks is not None and not Path(synthesis.paste.masks).is_dir():
        raise ConfigError(f"{key}.paste.masks: there is no folder {synthesis.paste.masks}")
    if synthesis.subset is not None and entry.copies:
        raise ConfigError(f"{key}.subset: {synthesis.strategy} gives real images, of which there are no better ones")
    if (
        synthesis.is_chosen_by_uncertainty
        and synthesis.subset is not None
        and synthesis.subset.uncertainty == "mi"
        and not config.classifier.dropout
    ):
        raise ConfigError(f"{key}.subset.uncertainty: mi needs classifier.dropout above 0; or take entropy")
    if entry.target and synthesis.targeted.posterior == "dropout" and not config.classifier.dropout:
        raise ConfigError(f"{key}.strategy: {synthesis.strategy} needs classifier.dropout above 0")


def _without_latent(config: Config, generator: str, section: str) -> str | None:
    """None for a generator with a latent space; for one without, its key and kind.

    Raises:
        ConfigError: there is no such generator.
    """
    from synaug_core.generators import base, registry

    kind = config.generator_named(generator).kind
    if generator == "default":
        key = "generator.kind"
    else:
        key = f"generators.{generator}.kind" if generator in config.generators else f"{section}.generator"
    if kind not in registry.kinds():
        raise ConfigError(f"{key}: unknown kind {kind!r}; known are {', '.join(registry.kinds())}")
    return None if issubclass(registry.find(kind), base.LatentGenerator) else f"{key.rpartition(': ')[2]}: {kind}"


def _lacks(lacking: str, kind: str) -> str:
    return f"{lacking} needs a generator with a latent space, and `{kind}` has none"


def _latent_kinds() -> str:
    from synaug_core.generators import registry

    return " or ".join(registry.latent_kinds())
