"""What a result was made with: code, libraries, machine."""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core.digests import code_version
from synaug_core.plugins import plugin_versions

if TYPE_CHECKING:
    import torch

__all__ = ["environment", "git_commit", "package_versions"]

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = (
    *("mlflow", "numpy", "optuna", "pandas", "pillow", "prefect", "pyarrow", "safetensors"),
    *("scikit-learn", "scipy", "synaug", "timm", "torch", "torchvision"),
)


def environment(device: torch.device | None = None) -> dict[str, str]:
    """Code version, git commit, Python, platform, processor cores, device and library versions."""
    facts = {
        "code_version": code_version(),
        "git_commit": git_commit() or "",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_cores": str(os.cpu_count() or ""),
        "device": _device_name(device),
    }
    libraries = {f"library/{k}": v for k, v in package_versions().items()}
    return {k: v for k, v in facts.items() if v} | libraries | {f"plugin/{k}": v for k, v in plugin_versions().items()}


@functools.cache
def package_versions() -> dict[str, str]:
    """Installed versions of the libraries that matter."""
    versions: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def git_commit(root: Path = _ROOT) -> str | None:
    """The commit checked out in the folder that holds this code; None outside a checkout. Starts no process."""
    git = root / ".git"
    try:
        if git.is_file():  # a worktree's or submodule's pointer
            git = (root / git.read_text().removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        shared = git / "commondir"
        common = (git / shared.read_text().strip()).resolve() if shared.is_file() else git
        if (common / name).is_file():
            return (common / name).read_text().strip()
        packed = (common / "packed-refs").read_text().splitlines()
    except OSError:
        return None
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)


def _device_name(device: torch.device | None) -> str:
    if device is None or device.type != "cuda":
        return "" if device is None else f"{device.type} ({platform.processor() or platform.machine()})"
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda})"
