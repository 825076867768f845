"""What a run needs of servers: MLflow, the store of artifacts, Prefect, the database of searches."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING

from synaug.cli.check import Check

if TYPE_CHECKING:
    from synaug_core.services.settings import Settings

__all__ = ["mlflow", "prefect", "store", "tuning"]

_LARGEST_SKEW = 300.0  # seconds; an S3 server refuses 900
_LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) to an account of it"
_HOME_FIRST = "mend `home` first: MLflow's database lies there"
_MENDS = {
    "set SYNAUG_HOME": _HOME_FIRST,
    "there are no credentials": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "(Expired": "the credentials ran out: sign in again, or set new ones (AWS_SESSION_TOKEN too)",
    "(TokenRefresh": "the credentials ran out: sign in again, or set new ones (AWS_SESSION_TOKEN too)",
    "(RequestTimeTooSkewed": "set this machine's clock (timedatectl set-ntp true)",
    "(SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID; set both anew",
    "(InvalidAccessKeyId": "the server does not know AWS_ACCESS_KEY_ID; check it, and the server's address",
    "(AccessDenied": "give this key the right to list, read, write and delete there",
    "there is no bucket": "make the bucket, or correct SYNAUG_ARTIFACT_ROOT (behind a server: its artifacts' address)",
    "no server answers": "first let MLflow answer: it says where artifacts go",
    "does not answer": "start the S3 server, or correct AWS_ENDPOINT_URL_S3 or MLFLOW_S3_ENDPOINT_URL",
}


def mlflow(settings: Settings) -> Check:
    """It answers, lets us in, and is of a version that fits."""
    from synaug_core.errors import SynaugError
    from synaug_core.services.health import mlflow_server_version
    from synaug_core.services.secrets import redacted

    client = metadata.version("mlflow")
    try:
        server = mlflow_server_version(settings)
    except SynaugError as error:
        refused = "refuses" in str(error)
        return Check("mlflow", str(error), _LOGIN if refused else _mlflow_mend(str(error)))
    status = f"{client}, {redacted(settings.tracking_uri)}"
    if server is None:
        return Check("mlflow", status)
    mend = _versions("MLflow", client, server)
    return Check("mlflow", f"{status}, server {server}", mend)


def _mlflow_mend(line: str) -> str:
    if "out-of-date" in line or "schema" in line:
        return "back up the database, then run `mlflow db upgrade` with its address"
    if "set SYNAUG_HOME" in line:
        return _HOME_FIRST
    return "start the server, or correct or unset MLFLOW_TRACKING_URI"


def store(settings: Settings) -> Check | None:
    """Artifacts can be written, read and deleted; None where they go to a folder, which `home` and `disk` look at."""
    from synaug_core.errors import SynaugError
    from synaug_core.services import health
    from synaug_core.services.secrets import redacted

    try:
        place = health.artifact_place(settings)
        if place is None:
            return None
        health.try_store(settings, place)
        ahead_by = health.clock_difference(settings, place)
    except SynaugError as error:
        default_mend = "check the store's address and credentials, and ask its administrator for the line above"
        mend = next((mend for sign, mend in _MENDS.items() if sign in str(error)), default_mend)
        return Check("store", str(error), mend)
    status = f"{redacted(place)} can be written and read"
    if ahead_by is not None and abs(ahead_by) > _LARGEST_SKEW:
        way = "ahead of" if ahead_by > 0 else "behind"
        return Check(
            "store",
            f"{status}; this clock is {abs(ahead_by):.0f} s {way} the server's",
            _MENDS["(RequestTimeTooSkewed"],
        )
    return Check("store", status)


def prefect(settings: Settings) -> Check:
    """It can be started here, or the server answers, lets us in, and is of a version that fits."""
    from synaug.cli import environment
    from synaug_core.errors import UserError
    from synaug_core.services.secrets import redacted

    try:
        # The embedded server's module: it fails beside a FastAPI that is too new.
        importlib.import_module("prefect.server.api.server")
    except Exception as error:
        return Check("prefect", f"{type(error).__name__}: {error}", "install synaug again (make setup)")
    client = metadata.version("prefect")
    if settings.prefect_api_url is None:
        return Check("prefect", f"{client}, with a server of its own in each run")
    from tasks.engine.prefect_server import server_version

    status = f"{client}, {redacted(settings.prefect_api_url)}"
    try:
        environment.require_answer(settings.prefect_api_url)
        server = server_version()
    except UserError as error:
        if "refuses" in str(error):
            return Check(
                "prefect", f"{status}: {error}", "set PREFECT_API_AUTH_STRING (or PREFECT_API_KEY) as it wants it"
            )
        return Check("prefect", str(error), "start the server, or correct or unset PREFECT_API_URL")
    return Check("prefect", f"{status}, server {server}", _versions("Prefect", client, server))


def tuning(settings: Settings) -> Check | None:
    """The database of searches answers; None where that is a file."""
    if "://" not in settings.tuning_storage:
        return None
    from synaug_core.errors import UserError
    from synaug_core.services.health import ask_database
    from synaug_core.services.secrets import redacted

    try:
        version = ask_database(settings.tuning_storage)
    except UserError as error:
        mend = "start the database, or correct SYNAUG_TUNING_STORAGE; the password may stand in PGPASSWORD"
        if "not installed" in str(error):
            mend = "install the driver, or begin SYNAUG_TUNING_STORAGE with postgresql+psycopg://"
        return Check("searches", str(error), mend)
    return Check("searches", f"{version}, {redacted(settings.tuning_storage)}")


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
