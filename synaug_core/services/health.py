"""Whether the servers behind the settings do their work, asked in the way that a run uses them."""

import datetime as dt
import email.utils
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synaug_core.errors import Reason, SynaugError, UserError
from synaug_core.services import retry, secrets, settings
from synaug_core.services.mlflow import artifacts, clients
from synaug_core.services.s3.client import s3_client

__all__ = ["artifact_place", "ask_database", "clock_difference", "mlflow_server_version", "try_store"]

_PATIENCE = 10.0
_OK = 200
_FORBIDDEN = 403
_REFUSED = (401, _FORBIDDEN)
_WORDS = "synaug doctor wrote this and may delete it\n"


def mlflow_server_version(current: settings.Settings) -> str | None:
    """The tracking server's version; None without a server, and where it does not say.

    Raises:
        SynaugError: nobody answers, or the server refuses these credentials.
    """
    _check_entry(current)
    if current.has_local_tracking:
        return None
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        creds = get_default_host_creds(current.tracking_uri)
        answer = http_request(creds, "/version", "GET", timeout=_PATIENCE, max_retries=0)
    except MlflowException:
        return None
    return str(answer.text[:40]).strip() if answer.status_code == _OK else None


def _check_entry(current: settings.Settings) -> None:
    from mlflow.exceptions import MlflowException

    try:
        retry.patiently(clients.client(current).search_experiments, max_results=1)
    except MlflowException as error:
        words = secrets.first_line(error)
        if error.get_http_status_code() in _REFUSED:
            raise UserError(
                f"{secrets.redacted(current.tracking_uri)} refuses these credentials", reason=Reason.NO_ACCESS
            ) from error
        raise SynaugError(f"{secrets.redacted(current.tracking_uri)}: {words}") from error


def artifact_place(current: settings.Settings) -> str | None:
    """Where a new experiment's artifacts go, as an address; None where that is a folder of this machine."""
    place = current.artifact_root
    if place is None:
        place = str(retry.patiently(clients.client(current).get_experiment, "0").artifact_location)
    return (
        place if ("://" in place and not place.startswith("file:")) or place.startswith("mlflow-artifacts:") else None
    )


def try_store(current: settings.Settings, place: str) -> None:
    """Write a small artifact below `place`, read it and delete it.

    A tracking server lets only an experiment's owner delete; there the one small file stays for the next time.

    Raises:
        UserError, SynaugError: what was refused, in one line.
    """
    with _explaining(place, current), tempfile.TemporaryDirectory(prefix="synaug-") as folder:
        local = Path(folder, "check.txt")
        local.write_text(_WORDS)
        store = artifacts.repository(f"{place.rstrip('/')}/synaug-doctor", current)
        store.log_artifact(str(local))
        local.unlink()
        if Path(store.download_artifacts(local.name, folder)).read_text() != _WORDS:
            raise SynaugError(f"{secrets.redacted(place)} gives back other bytes than were written")
        try:
            store.delete_artifacts()
        except Exception as error:
            if getattr(getattr(error, "response", None), "status_code", None) != _FORBIDDEN:
                raise


@contextmanager
def _explaining(place: str, current: settings.Settings) -> Iterator[None]:
    try:
        with artifacts.explaining_place(place, current):
            yield
    except SynaugError:
        raise
    except Exception as error:  # each kind of store has errors of its own
        raise SynaugError(f"{secrets.redacted(place)}: {secrets.first_line(error)}") from error


def clock_difference(current: settings.Settings, place: str) -> float | None:
    """Seconds that this machine's clock is ahead of the S3 server's; None where `place` is not in S3 or it does not
    say. An S3 server refuses who is 15 minutes off."""
    from botocore.exceptions import BotoCoreError, ClientError

    if (address := artifacts.in_s3(place)) is None:
        return None
    try:
        answer = s3_client(current).head_bucket(Bucket=address.bucket)
    except ClientError as error:  # a refusal is dated as well
        answer = error.response
    except BotoCoreError:
        return None
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    server_time = email.utils.parsedate_to_datetime(date) if date else None
    return None if server_time is None else (dt.datetime.now(dt.UTC) - server_time).total_seconds()


def ask_database(url: str) -> str:
    """The kind and version of the database at an SQLAlchemy address.

    Raises:
        UserError: it cannot be reached or refuses; one line says which.
    """
    import sqlalchemy as sa

    try:
        address = sa.make_url(url)
        timeout = {"connect_timeout": int(_PATIENCE)} if address.get_backend_name() == "postgresql" else {}
        engine = sa.create_engine(address, connect_args=timeout)
        try:
            with engine.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
                version = ".".join(str(part) for part in engine.dialect.server_version_info or ())
        finally:
            engine.dispose()
    except ModuleNotFoundError as error:
        raise UserError(
            f"{secrets.redacted(url)}: the driver {error.name} is not installed", reason=Reason.NO_DRIVER
        ) from error
    except sa.exc.SQLAlchemyError as error:
        raise UserError(
            f"{secrets.redacted(url)}: {secrets.first_line(getattr(error, 'orig', None) or error)}"
        ) from error
    return f"{address.get_backend_name()} {version}".strip()
