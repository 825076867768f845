"""Where artifacts lie, by address: MLflow's way there, and what is said when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from synaug_core.s3_address import S3Address, s3_address
from synaug_core.services.s3.client import explaining
from synaug_core.services.settings import Settings

__all__ = ["explaining_place", "in_s3", "repository"]


def in_s3(place: str) -> S3Address | None:
    """The address of objects that `place` is; None where it is none."""
    try:
        return s3_address(place)
    except ValueError:
        return None


@contextmanager
def explaining_place(place: str, current: Settings) -> Iterator[None]:
    """Say what boto3 means, where the place is in S3. Raises as `explaining`."""
    address = in_s3(place)
    with explaining(address, current) if address else nullcontext():
        yield


def repository(place: str, current: Settings) -> Any:
    """MLflow's artifact repository of an address.

    Raises:
        MlflowException: no store has addresses of this kind.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place, tracking_uri=current.tracking_uri, registry_uri=current.tracking_uri)
