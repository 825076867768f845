"""A fitted generator as a folder, `spec.json` and `weights.safetensors`, and modules made of stored weights."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from synaug_core.errors import ArtifactError

__all__ = ["MISFIT", "Weights", "build_module", "copy_weights", "read", "read_kind", "strip_prefix", "write"]

Weights = dict[str, Tensor]
"""By name, as in a state dict."""

MISFIT = "the weights do not fit the spec of this generator"

_SPEC, _WEIGHTS, _FORMAT = "spec.json", "weights.safetensors", 1

_Module = TypeVar("_Module", bound=nn.Module)


def write(folder: Path, kind: str, spec: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write a JSON-able spec and named tensors. Equal content gives equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    # Written by Python, whose errors say by their code that a disk is full.
    tensors = {name: t.detach().cpu().contiguous() for name, t in sorted(weights.items())}
    (folder / _WEIGHTS).write_bytes(save(tensors))
    text = json.dumps({"format": _FORMAT, "kind": kind, **spec}, indent=1, sort_keys=True, allow_nan=False)
    (folder / _SPEC).write_text(text + "\n", encoding="utf-8")


def read(folder: Path, kind: str, device: torch.device | str) -> tuple[dict[str, Any], Weights]:
    """Read the spec and the tensors, the latter on `device`.

    Raises:
        ArtifactError: files are missing or broken, or of another kind or format.
    """
    spec = _read_spec(folder)
    if spec["kind"] != kind:
        raise ArtifactError(f"{folder}: holds a {spec['kind']!r} generator, not {kind!r}")
    try:
        weights = load_file(folder / _WEIGHTS, device=str(device))
    except Exception as error:  # safetensors raises errors of its own classes, which share no narrower base
        raise ArtifactError(f"{folder / _WEIGHTS}: cannot be read ({error})") from error
    return spec, weights


def read_kind(folder: Path) -> str:
    """Read the kind of generator that a folder holds.

    Raises:
        ArtifactError: no generator, or of a newer format.
    """
    return str(_read_spec(folder)["kind"])


def _read_spec(folder: Path) -> dict[str, Any]:
    try:
        spec = json.loads((folder / _SPEC).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder}: holds no generator ({_SPEC} cannot be read)") from error
    if not isinstance(spec, dict) or spec.get("format") != _FORMAT or not isinstance(spec.get("kind"), str):
        raise ArtifactError(f"{folder / _SPEC}: not a generator's spec of format {_FORMAT}")
    return spec


def copy_weights(weights: Mapping[str, Tensor]) -> Weights:
    """Copy the weights, so that later training leaves them unchanged."""
    return {name: value.detach().clone() for name, value in weights.items()}


def strip_prefix(prefix: str, weights: Mapping[str, Tensor]) -> Weights:
    """The weights whose names begin with `prefix`, named without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def build_module(make: Callable[[], _Module], weights: Weights, device: torch.device) -> _Module:
    """Build the module that `make` makes, with these weights, on `device`, for use and not for training.

    Raises:
        ArtifactError: names or shapes are not the module's, or there can be no such module.
    """
    try:
        with torch.device("meta"):  # nothing to initialise: the weights are at hand
            module = make()
        module.load_state_dict(weights, assign=True)
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:  # sizes that no module can have
        raise ArtifactError(MISFIT) from error
    return module.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
