"""Where things lie and which servers are used: the one file that reads the environment."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from synaug_core.errors import ConfigError
from synaug_core.services import places
from synaug_core.services.secrets import redacted

__all__ = [
    "Settings", "apply_environment", "child_environment", "embedded_environment", "proxies", "serve_token", "settings",
]  # fmt: skip

_SCHEDULER = re.compile(r"(tcp|tls|ws|wss)://[^\s/@]+")
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
_MALLOC_CHOICES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DASKS_CHOICE = {"MALLOC_TRIM_THRESHOLD_": "65536"}


@dataclass(frozen=True, repr=False)
class Settings:
    """What the environment says, as absolute places.

    Attributes:
        home: databases, artifacts and caches of the embedded default (`SYNAUG_HOME`, default `./.synaug`).
        tracking_uri: MLflow's address (`MLFLOW_TRACKING_URI`); default: an SQLite file under `home`.
        artifact_root: folder or URI that new experiments of a database store put their artifacts below
            (`SYNAUG_ARTIFACT_ROOT`, default `<home>/artifacts`); None where a tracking server decides.
        tuning_storage: path of Optuna's journal file under `home`, or a database URL (`SYNAUG_TUNING_STORAGE`).
        prefect_home: Prefect's folder (`PREFECT_HOME`, default `<home>/prefect`).
        prefect_api_url: address of a Prefect server (`PREFECT_API_URL`); None: an embedded one.
        data: folder with the real data sets that tests and benchmarks use (`SYNAUG_DATA`); None: not said.
        s3_endpoint: address of an S3 server (`MLFLOW_S3_ENDPOINT_URL`, as MLflow has it); None leaves it to boto3
            (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, a profile, or else AWS). Credentials are boto3's own matter.
        dask_scheduler: address of a Dask cluster's scheduler (`SYNAUG_DASK_SCHEDULER`, such as tcp://HOST:8786) for
            configurations that ask for Dask; None: processes of this machine. No configuration can name it: whoever
            answers there may run code here.
        own_prefect: the server at `prefect_api_url` was started by this run for itself alone
            (`SYNAUG_OWN_PREFECT=1`, which the command sets).
        keeps_memory: freed memory may stay in the process for the next tensors; False where a variable of glibc's
            malloc is set to one's own choice (`MALLOC_TRIM_THRESHOLD_=65536` is Dask's for its workers).
    """

    home: Path
    tracking_uri: str
    artifact_root: str | None
    tuning_storage: str
    prefect_home: Path
    prefect_api_url: str | None
    data: Path | None
    s3_endpoint: str | None = None
    dask_scheduler: str | None = None
    own_prefect: bool = False
    keeps_memory: bool = True

    @property
    def has_local_tracking(self) -> bool:
        """True where this process itself writes MLflow's database."""
        return not self.tracking_uri.startswith(("http://", "https://"))

    @property
    def cache(self) -> Path:
        """Local copies of artifacts."""
        return self.home / places.CACHE

    def __repr__(self) -> str:
        shown = {name: redacted(str(value)) for name, value in vars(self).items()}
        return f"Settings({', '.join(f'{name}={value}' for name, value in shown.items())})"


def settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process, read anew each time; an empty variable counts as unset.

    Without `SYNAUG_HOME` the home is `.synaug` in the working folder; in the user's home for a run that a worker
    started, whose working folder is deleted when it has ended.

    Raises:
        ConfigError: no database can lie in `SYNAUG_HOME` or `PREFECT_HOME`, `MLFLOW_TRACKING_URI` is neither a server's
            nor a database's address, or `SYNAUG_DASK_SCHEDULER` is none of a scheduler.
    """
    variables = {k: v for k, v in (os.environ if environment is None else environment).items() if v}
    home = _absolute(variables.get("SYNAUG_HOME", "~/.synaug" if "PREFECT__FLOW_RUN_ID" in variables else ".synaug"))
    prefect_home = _absolute(variables.get("PREFECT_HOME", str(home / places.PREFECT)))
    for name, folder in (("SYNAUG_HOME", home), ("PREFECT_HOME", prefect_home)):
        if "?" in str(folder):  # ends the file's name in an SQLite address
            raise ConfigError(f"{name}: no database can lie in {str(folder)!r}, for its ?; choose another folder")
    tracking_uri = variables.get("MLFLOW_TRACKING_URI", f"sqlite:///{home / places.MLFLOW_DATABASE}")
    scheme = urlsplit(tracking_uri).scheme.split("+")[0]
    if scheme not in _SCHEMES:
        raise ConfigError(
            f"MLFLOW_TRACKING_URI: {redacted(tracking_uri)!r} cannot be used; give a server (http://...) or a database "
            "(sqlite:///FILE, postgresql://...)"
        )
    scheduler = variables.get("SYNAUG_DASK_SCHEDULER")
    if scheduler is not None and not _SCHEDULER.fullmatch(scheduler):
        raise ConfigError(f"SYNAUG_DASK_SCHEDULER: {redacted(scheduler)!r} cannot be used; give tcp://HOST:PORT")
    root = variables.get("SYNAUG_ARTIFACT_ROOT", str(home / places.ARTIFACTS))
    return Settings(
        home=home,
        tracking_uri=tracking_uri,
        artifact_root=None if scheme in ("http", "https") else root if "://" in root else str(_absolute(root)),
        tuning_storage=variables.get("SYNAUG_TUNING_STORAGE", str(home / places.TUNING_JOURNAL)),
        prefect_home=prefect_home,
        prefect_api_url=variables.get("PREFECT_API_URL"),
        data=_absolute(variables["SYNAUG_DATA"]) if "SYNAUG_DATA" in variables else None,
        s3_endpoint=variables.get("MLFLOW_S3_ENDPOINT_URL"),
        dask_scheduler=scheduler,
        own_prefect=variables.get("SYNAUG_OWN_PREFECT") == "1",
        keeps_memory=all(variables.get(name) in (None, _DASKS_CHOICE.get(name)) for name in _MALLOC_CHOICES),
    )


def embedded_environment(current: Settings, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables to set before prefect or mlflow is imported; never one that is set already, but for the list of those
    whom no proxy is asked for, which gets this machine.

    They keep everything under `home`, quiet, without telemetry, and without pickle.
    """
    present = os.environ if environment is None else environment
    defaults = {
        "SYNAUG_HOME": str(current.home),
        "MLFLOW_TRACKING_URI": current.tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_UV_AUTO_DETECT": "false",
        "AWS_MAX_ATTEMPTS": "6",
        "AWS_RETRY_MODE": "standard",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "PREFECT_HOME": str(current.prefect_home),
        "PREFECT_LOCAL_STORAGE_PATH": str(current.prefect_home / places.PREFECT_RESULTS),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "INFO",  # what a terminal shows, for Prefect's page
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    return {name: value for name, value in defaults.items() if not present.get(name)} | _without_proxy(present)


def proxies(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The proxies that the environment names, by variable; credentials in them as they stand."""
    present = os.environ if environment is None else environment
    return {name: value for name, value in present.items() if name.lower() in _PROXIES and value}


def _without_proxy(present: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY with this machine's names, where a proxy is named: none can reach the servers that a run starts."""
    if not proxies(present):
        return {}
    hosts = [host.strip() for name in ("no_proxy", "NO_PROXY") for host in present.get(name, "").split(",")]
    if "*" in hosts:
        return {}
    value = ",".join(dict.fromkeys(host for host in (*hosts, *_LOOPBACK) if host))
    return {"NO_PROXY": value, "no_proxy": value}


def apply_environment(current: Settings) -> None:
    """Set the variables of `embedded_environment` in this process."""
    os.environ.update(embedded_environment(current))


def child_environment(current: Settings, **variables: str) -> dict[str, str]:
    """The whole environment for a process started by this one, `variables` on top.

    Its PATH begins with this interpreter's folder: `mlflow` looks there for the servers that it starts.
    """
    path = os.pathsep.join(p for p in (str(Path(sys.executable).parent), os.environ.get("PATH")) if p)
    return {**os.environ, **embedded_environment(current), "PATH": path, **variables}


def serve_token() -> str:
    """The token that requests to `synaug serve` must carry (`SYNAUG_SERVE_TOKEN`); "" where there is none."""
    return os.environ.get("SYNAUG_SERVE_TOKEN", "").strip()


def _absolute(path: str) -> Path:
    return Path(path).expanduser().resolve()
