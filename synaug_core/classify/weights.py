"""Pretrained weights of a backbone: from a local file, or from the hub without waiting for one that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor, nn

from synaug_core.errors import WeightsError
from synaug_core.reachable import silence

__all__ = ["ADVICE", "hub_file", "load_backbone", "read"]

_FILE = "model.safetensors"
_SECONDS = 5.0
ADVICE = "give classifier.weights_file a .safetensors file, or set classifier.pretrained to false"
"""What to do without pretrained weights."""


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors file.

    Raises:
        WeightsError: no such file, another format, or a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors":
        raise WeightsError(f"classifier.weights_file: {path} is not a .safetensors file; other formats are not read")
    if not path.is_file():
        raise WeightsError(f"classifier.weights_file: there is no file {path}")
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"classifier.weights_file: {path} cannot be read ({error})") from error
    return state


def hub_file(repository: str, name: str) -> Path:
    """The backbone's weights in the hub's local cache, downloaded if need be.

    The hub's client retries for most of a minute where there is no network; one short request asks first.

    Raises:
        WeightsError: the hub cannot be reached or has no such file.
    """
    from huggingface_hub import constants, hf_hub_download, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, _FILE)
    if isinstance(cached, str):
        return Path(cached)
    if constants.is_offline_mode():
        raise WeightsError(f"pretrained weights of {name}: HF_HUB_OFFLINE is set and they are not cached; {ADVICE}")
    problem = silence(hf_hub_url(repository, _FILE), _SECONDS, "HEAD")
    if problem:
        raise WeightsError(f"pretrained weights of {name}: the hub cannot be reached ({problem}); {ADVICE}")
    try:
        # timm names no revision; safetensors cannot run code
        downloaded = hf_hub_download(repository, _FILE, etag_timeout=_SECONDS)  # nosec B615
    except Exception as error:  # the HTTP library behind the hub's client, and with it the error, changes by version
        reason = type(error).__name__
        raise WeightsError(f"pretrained weights of {name} cannot be had from the hub ({reason}); {ADVICE}") from error
    return Path(downloaded)


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
    wanted = backbone.state_dict()
    heads = re.compile("|".join(re.escape(f"{h}.") for h in head)) if head else None
    given = {k: v for k, v in state.items() if k in wanted or not (heads and heads.match(k))}
    missing = [k for k in wanted if k not in given and not k.endswith("num_batches_tracked")]
    surplus = [k for k in given if k not in wanted]
    unequal = [k for k in given if k in wanted and given[k].shape != wanted[k].shape]
    for problem, keys in (("lack", missing), ("have the unknown", surplus), ("have another shape of", unequal)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise WeightsError(f"pretrained weights do not fit {name}: they {problem} {', '.join(keys[:3])}{more}")
    backbone.load_state_dict(given, strict=False)
