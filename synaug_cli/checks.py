"""What a run needs of its machine, one check each. A check never raises: a problem is its result."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from synaug_core.services.settings import Settings

__all__ = ["Check", "checks"]

_GIGABYTES_NEEDED = 2.0


@dataclass(frozen=True)
class Check:
    """What was found; `mend` says what to do where it is a problem."""

    name: str
    found: str
    mend: str = ""

    @property
    def is_well(self) -> bool:
        """True where nothing is to be mended."""
        return not self.mend


def checks(settings: Settings) -> Iterator[Check]:
    """Every check, each made as it is asked for."""
    every: tuple[Callable[[Settings], Check], ...] = (_python, _libraries, _home, _disk, _torch, _tracking, _prefect)
    for check in every:
        try:
            yield check(settings)
        except Exception as error:
            from synaug_core.services.secrets import first_line

            yield Check(check.__name__.strip("_"), first_line(error), "see the line before this one, and the log")


def _python(_: Settings) -> Check:
    found = platform.python_version()
    return Check("python", found, "" if sys.version_info >= (3, 11) else "install Python 3.11 or later")


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
    return Check("libraries", f"synaug {metadata.version('synaug')} and all it needs")


def _home(settings: Settings) -> Check:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        return Check("home", f"{settings.home}: {error.strerror}", "set SYNAUG_HOME to a folder you may write to")
    return Check("home", str(settings.home))


def _disk(settings: Settings) -> Check:
    folder = next(f for f in (settings.home, *settings.home.parents) if f.exists())
    free = shutil.disk_usage(folder).free / 1e9
    mend = f"free at least {_GIGABYTES_NEEDED:.0f} GB, or set SYNAUG_HOME to another disk"
    return Check("disk", f"{free:.1f} GB free", "" if free >= _GIGABYTES_NEEDED else mend)


def _torch(_: Settings) -> Check:
    mend = "install torch and torchvision as a pair from one index"
    try:
        import torch
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        return Check("torch", str(error).strip().splitlines()[0], mend)
    versions = f"{torch.__version__}, torchvision {torchvision.__version__}"
    if torch.cuda.is_available():
        return Check("torch", f"{versions}, GPU {torch.cuda.get_device_name(0)}")
    return Check("torch", f"{versions}, no usable GPU: runs use the CPU")


def _tracking(settings: Settings) -> Check:
    from synaug_core.errors import SynaugError
    from synaug_core.services.clients import client
    from synaug_core.services.secrets import first_line, redacted

    address = redacted(settings.tracking_uri)
    try:
        client(settings).search_experiments(max_results=1)
    except SynaugError as error:
        return Check("mlflow", str(error), "start the server, or correct or unset MLFLOW_TRACKING_URI")
    except Exception as error:
        return Check("mlflow", f"{address}: {first_line(error)}", "check MLFLOW_TRACKING_URI and its credentials")
    return Check("mlflow", f"{metadata.version('mlflow')}, {address}")


def _prefect(settings: Settings) -> Check:
    from synaug_cli import environment
    from synaug_core.errors import UserError
    from synaug_core.services.secrets import redacted

    try:
        # The embedded server's module: it fails beside a FastAPI that is too new.
        importlib.import_module("prefect.server.api.server")
    except Exception as error:
        return Check("prefect", f"{type(error).__name__}: {error}", "install synaug again (make setup)")
    version = metadata.version("prefect")
    if settings.prefect_api_url is None:
        return Check("prefect", f"{version}, with a server of its own in each run")
    try:
        environment.require_answer(settings.prefect_api_url)
    except UserError as error:
        return Check("prefect", str(error), "start the server, or correct or unset PREFECT_API_URL")
    return Check("prefect", f"{version}, {redacted(settings.prefect_api_url)}")
