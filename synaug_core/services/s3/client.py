"""Objects of an S3-compatible server: a client with timeouts and retries, listings, and errors in one line.

Credentials come from boto3's own chain only: the environment, a profile, the machine's role.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synaug_core import errors, s3_address
from synaug_core.services import secrets, settings

__all__ = ["THREADS", "StoredObject", "explaining", "listed", "objects_at", "s3_client"]

THREADS = 16
"""Requests at once."""

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_ATTEMPTS = 6
_NO_CREDENTIALS = (
    "there are no credentials for {place}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
)
_NO_ENTRY = {
    "401", "403", "AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken",
    "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
}  # fmt: skip
_MISSING_CODES = {"404", "NoSuchKey", "412", "PreconditionFailed"}


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it.

    Attributes:
        name: its key without the address's own, `/` between its parts; for an address of one object its last part.
        key: all of its key.
        size: bytes.
        etag: what the server calls this version, with its quotation marks; "" where it says nothing.
        modified: when it was written, as ISO 8601.
    """

    name: str
    key: str
    size: int
    etag: str
    modified: str


def s3_client(current: settings.Settings) -> Any:
    """A boto3 client for the settings' S3 server; threads may share it. Give it to `explaining` where it is used."""
    import boto3
    import botocore.session
    from botocore.config import Config

    core = botocore.session.get_session()
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=2 * THREADS,
        retries={
            "mode": "adaptive" if core.get_config_variable("retry_mode") == "adaptive" else "standard",
            "total_max_attempts": core.get_config_variable("max_attempts") or _ATTEMPTS,
        },
        user_agent_appid="synaug",
    )
    return boto3.session.Session(botocore_session=core).client("s3", endpoint_url=current.s3_endpoint, config=config)


def listed(client: Any, address: s3_address.S3Address) -> tuple[StoredObject, ...]:
    """Every object at the address, by key; those of no bytes that only stand for folders are left out.

    Raises:
        DataError: there is none.
        Exception: botocore's errors, for `explaining`.
    """
    if objects := objects_at(client, address):
        return objects
    if address.key and _find_exact(client, address):
        raise errors.DataError(
            f"{address} is one object; give a prefix above the images, or an .npz or .parquet object"
        )
    raise errors.DataError(f"{address} has no objects")


def objects_at(client: Any, address: s3_address.S3Address) -> tuple[StoredObject, ...]:
    """What `listed` gives, or nothing where there is nothing. Raises botocore's errors, for `explaining`."""
    if address.is_file and (stored := _find_exact(client, address)):
        return (stored,)
    prefix = f"{address.key}/" if address.key else ""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=address.bucket, Prefix=prefix)
    raw = (entry for page in pages for entry in page.get("Contents", ()))
    objects = (_object(e, e["Key"][len(prefix) :]) for e in raw if e["Size"] or not e["Key"].endswith("/"))
    return tuple(sorted(objects, key=lambda o: o.key))


def _find_exact(client: Any, address: s3_address.S3Address) -> StoredObject | None:
    """The object with this very key: it comes first among those that begin with it."""
    entries = client.list_objects_v2(Bucket=address.bucket, Prefix=address.key, MaxKeys=1).get("Contents", ())
    return next((_object(e, address.name) for e in entries if e["Key"] == address.key), None)


def _object(entry: dict[str, Any], name: str) -> StoredObject:
    modified = entry["LastModified"].isoformat() if "LastModified" in entry else ""
    return StoredObject(name, entry["Key"], int(entry["Size"]), entry.get("ETag", ""), modified)


@contextlib.contextmanager
def explaining(address: s3_address.S3Address, current: settings.Settings) -> Iterator[None]:
    """Turn what boto3 raised within the block into one line about the address.

    Raises:
        UserError: no credentials, no access, or nobody answers.
        DataError: there is no such bucket, or an object went away while it was read.
        SynaugError: the server failed, as often as it was asked.
    """
    try:
        yield
    except errors.SynaugError:
        raise
    except Exception as error:
        if (origin := _origin(error)) is None:
            raise
        raise _explained(origin, address, current) from error


def _origin(error: BaseException) -> Exception | None:
    """The error of botocore's that this one is, or came of: transfer managers and MLflow wrap them."""
    from botocore.exceptions import BotoCoreError, ClientError

    return next((cause for cause in errors.causes(error) if isinstance(cause, (BotoCoreError, ClientError))), None)


def _explained(error: Exception, address: s3_address.S3Address, current: settings.Settings) -> errors.SynaugError:
    from botocore import exceptions as e

    place = _place(error, address, current)
    if isinstance(error, e.ClientError):
        return _answered(error, address, place)
    if isinstance(error, (e.NoCredentialsError, e.PartialCredentialsError, e.NoAuthTokenError)):
        return errors.UserError(_NO_CREDENTIALS.format(place=place), reason=errors.Reason.NO_CREDENTIALS)
    if isinstance(error, (e.ProfileNotFound, e.CredentialRetrievalError, e.TokenRetrievalError, e.SSOError)):
        return errors.UserError(f"the credentials for {place} cannot be read: {secrets.first_line(error, 200)}")
    if isinstance(error, e.SSLError):
        return errors.UserError(f"{place}: no secure connection to the server ({secrets.first_line(error, 200)})")
    if isinstance(error, (e.ConnectionError, e.HTTPClientError)):
        return errors.UserError(
            f"{place}: the server does not answer; check AWS_ENDPOINT_URL_S3 or MLFLOW_S3_ENDPOINT_URL and the network "
            f"({type(error).__name__})",
            reason=errors.Reason.STORE_SILENT,
        )
    return errors.SynaugError(f"{place}: {secrets.first_line(error, 200)}")


def _answered(error: Any, address: s3_address.S3Address, place: str) -> errors.SynaugError:
    """What the server's refusal means."""
    answer = error.response.get("Error", {})
    code = str(answer.get("Code", "")) or "no code"
    if code == "NoSuchBucket":
        return errors.DataError(f"there is no bucket {address.bucket!r} for {place}", reason=code)
    if code in _NO_ENTRY:
        return errors.UserError(f"no access to {place} with these credentials ({code})", reason=code)
    if code in _MISSING_CODES:
        return errors.DataError(f"{place} changed while it was read; start the run again")
    words = secrets.redacted(" ".join(f"{code} {answer.get('Message', '')}".split()))[:200]
    return errors.SynaugError(f"{place}: the server says {words}")


def _place(error: Exception, address: s3_address.S3Address, current: settings.Settings) -> str:
    """The address and the server, as far as they are known; a user's name and password in the server's are cut out."""
    server = getattr(error, "kwargs", {}).get("endpoint_url") or current.s3_endpoint
    if not server:
        return str(address)
    scheme, separator, rest = str(server).partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    return f"{address} at {scheme}{separator}{host}"
