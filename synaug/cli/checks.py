"""What a run needs, one check each. A check never raises: a problem is its result."""

from __future__ import annotations

import logging
import platform
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from synaug.cli import server_checks
from synaug.cli.check import Check
from synaug_core.services.settings import Settings
from synaug_core.services.writable import trouble_with

__all__ = ["Check", "checks"]

_GIGABYTES_NEEDED = 2.0
_PASSING_NEEDED = 1.0
_SHOWN = 3
_log = logging.getLogger(__name__)


def checks(settings: Settings) -> Iterator[Check]:
    """Every check, each made as it is asked for."""
    servers = (server_checks.mlflow, server_checks.store, server_checks.prefect, server_checks.tuning)
    all_checks: tuple[Callable[[Settings], Check | None], ...] = (_python, _libraries, _home, _disk, _torch, *servers)
    for check in all_checks:
        try:
            outcome = check(settings)
            if outcome is not None:
                yield outcome
        except Exception as error:
            from synaug_core.services.secrets import first_line, redacted

            _log.error("the check %s failed\n%s", check.__name__.strip("_"), redacted(traceback.format_exc()))
            yield Check(check.__name__.strip("_"), first_line(error), "see the line before this one, and the log")


def _python(_: Settings) -> Check:
    version = platform.python_version()
    return Check("python", version, "" if sys.version_info >= (3, 11) else "install Python 3.11 or later")


def _libraries(_: Settings) -> Check:
    from packaging.requirements import Requirement

    wrong = []
    for text in metadata.requires("synaug") or []:
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate():
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{needed.name} is missing")
            continue
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} {version} is not {needed.specifier}")
    if wrong:
        return Check("libraries", "; ".join(wrong), "install synaug again into a fresh environment (make setup)")
    return Check("libraries", f"synaug {metadata.version('synaug')} and all it needs{_besides_lock()}")


def _besides_lock() -> str:
    """How many packages are of other versions than the checkout's lock says; nothing where there is no checkout."""
    lock = Path(__file__).resolve().parents[2] / "requirements-runtime.lock"
    if not lock.is_file():
        return ""
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    differing = []
    for name, version in pinned.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:  # for another platform
            continue
        if installed.partition("+")[0] != version.partition("+")[0]:
            differing.append(f"{name} {installed}")
    if not differing:
        return ", as locked"
    return f"; not as locked: {', '.join(differing[:_SHOWN])}{' ...' if len(differing) > _SHOWN else ''}"


def _home(settings: Settings) -> Check:
    trouble = trouble_with(settings.home)
    return Check("home", str(settings.home)) if trouble is None else Check("home", trouble.found, trouble.mend)


def _disk(settings: Settings) -> Check:
    folder = next(f for f in (settings.home, *settings.home.parents) if f.exists())
    temporary = Path(tempfile.gettempdir())
    free, temporary_free = (shutil.disk_usage(f).free / 1e9 for f in (folder, temporary))
    free_text = f"{free:.1f} GB free, {temporary_free:.1f} GB in {temporary}"
    if free < _GIGABYTES_NEEDED:
        needed = f"free at least {_GIGABYTES_NEEDED:.0f} GB (`synaug gc` shows what may go)"
        return Check("disk", free_text, f"{needed}, or set SYNAUG_HOME to another disk")
    if temporary_free < _PASSING_NEEDED:
        return Check("disk", free_text, f"free at least {_PASSING_NEEDED:.0f} GB there, or set TMPDIR to another disk")
    return Check("disk", free_text)


def _torch(_: Settings) -> Check:
    mend = "install torch and torchvision as a pair from one index"
    try:
        import torch
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        return Check("torch", str(error).strip().splitlines()[0], mend)
    versions = f"{torch.__version__}, torchvision {torchvision.__version__}"
    driver = _driver()
    if torch.cuda.is_available():
        name = f"{versions}, GPU {torch.cuda.get_device_name(0)}, driver {driver or 'unknown'}"
        try:
            torch.ones(1, device="cuda").add_(1).item()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            return Check("torch", f"{name}: {reason}", "install a build of torch for this GPU, or end what fills it")
        return Check("torch", name)
    if driver is None:
        return Check("torch", f"{versions}, no usable GPU: runs use the CPU")
    if torch.version.cuda is None:
        return Check("torch", f"{versions} has no CUDA, and there is a GPU", "install torch and torchvision for CUDA")
    return Check(
        "torch",
        f"{versions} is built for CUDA {torch.version.cuda} and cannot use the GPU with driver {driver}",
        "update the NVIDIA driver, or install torch for an older CUDA; CUDA_VISIBLE_DEVICES must not hide the GPU",
    )


def _driver() -> str | None:
    """The version of NVIDIA's driver, or None where there is none."""
    try:
        line = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    match = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", line)
    return match.group(1) if match else "unknown"
