"""What a run needs of this machine and of servers, one check each. A check never raises: a problem is its result."""

import importlib.util
import logging
import platform
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from synaug.cli import environment
from synaug_core.errors import Reason, SynaugError, UserError
from synaug_core.services import secrets, writable
from synaug_core.services.settings import Settings, proxies

__all__ = ["Check", "check_mlflow", "check_prefect", "check_store", "check_tuning", "run_checks"]

_HOME_GIGABYTES = 2.0
_TEMPORARY_GIGABYTES = 1.0
_SHOWN = 3
_log = logging.getLogger(__name__)
_LARGEST_SKEW = 300.0  # seconds; an S3 server refuses 900
_HOME_FIRST = "mend `home` first: MLflow's database lies there"
_MLFLOW_MENDS: dict[str, str] = {
    Reason.HOME: _HOME_FIRST,
    Reason.NO_ACCESS: (
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) to an account of it"
    ),
    Reason.OLD_SCHEMA: "back up the database, then run `mlflow db upgrade` with its address",
}
"""What to do, by an error's reason."""
_STORE_MENDS = {
    Reason.HOME: _HOME_FIRST,
    Reason.NO_CREDENTIALS: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "ExpiredToken": "the credentials ran out: sign in again, or set new ones (AWS_SESSION_TOKEN too)",
    "TokenRefreshRequired": "the credentials ran out: sign in again, or set new ones (AWS_SESSION_TOKEN too)",
    "RequestTimeTooSkewed": "set this machine's clock (timedatectl set-ntp true)",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID; set both anew",
    "InvalidAccessKeyId": "the server does not know AWS_ACCESS_KEY_ID; check it, and the server's address",
    "AccessDenied": "give this key the right to list, read, write and delete there",
    "NoSuchBucket": "make the bucket, or correct SYNAUG_ARTIFACT_ROOT (behind a server: its artifacts' address)",
    Reason.NO_ANSWER: "first let MLflow answer: it says where artifacts go",
    Reason.STORE_SILENT: "start the S3 server, or correct AWS_ENDPOINT_URL_S3 or MLFLOW_S3_ENDPOINT_URL",
}


@dataclass(frozen=True)
class Check:
    """What was found; `mend` says what to do where it is a problem."""

    name: str
    status: str
    mend: str = ""

    @property
    def is_well(self) -> bool:
        """True where nothing is to be mended."""
        return not self.mend


def run_checks(settings: Settings) -> Iterator[Check]:
    """Make the checks one by one, each when it is asked for."""
    machine = (_python, _libraries, _home, _disk, _torch, _proxy)
    servers = (check_mlflow, check_store, check_prefect, check_tuning)
    all_checks: tuple[Callable[[Settings], Check | None], ...] = (*machine, *servers)
    for check in all_checks:
        try:
            outcome = check(settings)
            if outcome is not None:
                yield outcome
        except Exception as error:
            from synaug_core.services.secrets import first_line

            name = check.__name__.removeprefix("check_").strip("_")
            _log.error("the check %s failed\n%s", name, secrets.redacted(traceback.format_exc()))
            yield Check(name, first_line(error), "see the line before this one, and the log")


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
    trouble = writable.trouble_with(settings.home)
    return Check("home", str(settings.home)) if trouble is None else Check("home", trouble.problem, trouble.mend)


def _disk(settings: Settings) -> Check:
    folder = next(f for f in (settings.home, *settings.home.parents) if f.exists())
    temporary = Path(tempfile.gettempdir())
    free, temporary_free = (shutil.disk_usage(f).free / 1e9 for f in (folder, temporary))
    free_text = f"{free:.1f} GB free, {temporary_free:.1f} GB in {temporary}"
    if free < _HOME_GIGABYTES:
        needed = f"free at least {_HOME_GIGABYTES:.0f} GB (`synaug gc` shows what may go)"
        return Check("disk", free_text, f"{needed}, or set SYNAUG_HOME to another disk")
    if temporary_free < _TEMPORARY_GIGABYTES:
        return Check(
            "disk", free_text, f"free at least {_TEMPORARY_GIGABYTES:.0f} GB there, or set TMPDIR to another disk"
        )
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


def _proxy(_: Settings) -> Check | None:
    """Which proxies the environment names; None where there is none. This machine's own servers need none."""
    named = proxies()
    if not named:
        return None
    status = ", ".join(f"{name} {secrets.redacted(value)}" for name, value in sorted(named.items()))
    if any(value.startswith("socks") for value in named.values()) and importlib.util.find_spec("socksio") is None:
        return Check("proxy", status, "install socksio, which SOCKS proxies need, or unset the variable")
    return Check("proxy", f"{status}; not for this machine's own servers")


def check_mlflow(settings: Settings) -> Check:
    """It answers, lets us in, and is of a version that fits."""
    from synaug_core.services.health import mlflow_server_version

    client = metadata.version("mlflow")
    try:
        server = mlflow_server_version(settings)
    except SynaugError as error:
        start = "start the server, or correct or unset MLFLOW_TRACKING_URI"
        return Check("mlflow", str(error), _MLFLOW_MENDS.get(error.reason, start))
    status = f"{client}, {secrets.redacted(settings.tracking_uri)}"
    if server is None:
        return Check("mlflow", status)
    mend = _versions("MLflow", client, server)
    return Check("mlflow", f"{status}, server {server}", mend)


def check_store(settings: Settings) -> Check | None:
    """Artifacts can be written, read and deleted; None where they go to a folder, which `home` and `disk` look at."""
    from synaug_core.services import health

    try:
        place = health.artifact_place(settings)
        if place is None:
            return None
        health.try_store(settings, place)
        ahead_by = health.clock_difference(settings, place)
    except SynaugError as error:
        default_mend = "check the store's address and credentials, and ask its administrator for the line above"
        return Check("store", str(error), _STORE_MENDS.get(error.reason, default_mend))
    status = f"{secrets.redacted(place)} can be written and read"
    if ahead_by is not None and abs(ahead_by) > _LARGEST_SKEW:
        way = "ahead of" if ahead_by > 0 else "behind"
        return Check(
            "store",
            f"{status}; this clock is {abs(ahead_by):.0f} s {way} the server's",
            _STORE_MENDS["RequestTimeTooSkewed"],
        )
    return Check("store", status)


def check_prefect(settings: Settings) -> Check:
    """It can be started here, or the server answers, lets us in, and is of a version that fits."""
    try:
        # The embedded server's module: it fails beside a FastAPI that is too new.
        importlib.import_module("prefect.server.api.server")
    except Exception as error:
        return Check("prefect", f"{type(error).__name__}: {error}", "install synaug again (make setup)")
    client = metadata.version("prefect")
    if settings.prefect_api_url is None:
        return Check("prefect", f"{client}, with a server of its own in each run")
    from tasks.engine.result_storage import server_version

    status = f"{client}, {secrets.redacted(settings.prefect_api_url)}"
    try:
        environment.require_answer(settings.prefect_api_url)
        server = server_version()
    except UserError as error:
        if error.reason == Reason.NO_ACCESS:
            return Check(
                "prefect", f"{status}: {error}", "set PREFECT_API_AUTH_STRING (or PREFECT_API_KEY) as it wants it"
            )
        return Check("prefect", str(error), "start the server, or correct or unset PREFECT_API_URL")
    return Check("prefect", f"{status}, server {server}", _versions("Prefect", client, server))


def check_tuning(settings: Settings) -> Check | None:
    """The database of searches answers; None where that is a file."""
    if "://" not in settings.tuning_storage:
        return None
    from synaug_core.services.health import ask_database

    try:
        version = ask_database(settings.tuning_storage)
    except UserError as error:
        mend = "start the database, or correct SYNAUG_TUNING_STORAGE; the password may stand in PGPASSWORD"
        if error.reason == Reason.NO_DRIVER:
            mend = "install the driver, or begin SYNAUG_TUNING_STORAGE with postgresql+psycopg://"
        return Check("searches", str(error), mend)
    return Check("searches", f"{version}, {secrets.redacted(settings.tuning_storage)}")


def _versions(name: str, client: str, server: str) -> str:
    """A client newer than its server may ask for what that does not know; the other way round is meant to work."""
    if _release(client)[0] == _release(server)[0] and _release(client) <= _release(server):
        return ""
    if _release(client)[:2] == _release(server)[:2]:  # a correction only
        return ""
    return f"let {name} be of one version in both places: {client} here, {server} on the server"


def _release(version: str) -> tuple[int, ...]:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version).release
    except InvalidVersion:
        return (0,)
