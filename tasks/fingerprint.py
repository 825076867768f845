"""Whether the images have changed since the last retraining: a cheap look that decodes none and loads no torch."""

from synaug_core import digests
from synaug_core.config import DataConfig
from synaug_core.data import fingerprint
from synaug_core.data.sources import metadata
from synaug_core.services.mlflow import retrainings
from synaug_core.services.s3 import mirror
from synaug_core.services.settings import settings
from tasks.engine.step import action

__all__ = ["detect_new_data", "is_remote", "read_fingerprint", "remote_fingerprint"]


@action
def read_fingerprint(config: DataConfig) -> str:
    """The cheap digest of the source's bytes: unchanged data need not be read again.

    Of objects in S3 only the listing is asked for: their names, sizes and ETags.
    """
    if is_remote(config):
        return remote_fingerprint(config, mirror.bucket_fingerprint(config.source, settings()))
    return fingerprint.fingerprint(config)


@action
def detect_new_data(name: str, data: DataConfig) -> tuple[str, str | None]:
    """The fingerprint of the images, wherever they are, and what is new about them in words; None: nothing is.

    Raises:
        DataError: the images cannot be read.
        UserError: they are in S3, and the way to them is not as it should be.
    """
    now = read_fingerprint.fn(data)
    before = retrainings.last_finished(settings(), f"synaug/{name}")
    if before is None:
        return now, "no retraining has ended well yet"
    if before.fingerprint == now[: retrainings.FINGERPRINT_LENGTH]:
        return now, None
    return now, f"the images are others than in the last retraining ({before.run_id})"


def is_remote(config: DataConfig) -> bool:
    """Whether the images are objects in S3."""
    return config.source.startswith("s3://")


def remote_fingerprint(config: DataConfig, listing: str) -> str:
    """The digest of a bucket's listing and of the metadata file beside it, which is on this machine."""
    extra = metadata.metadata_path(config)
    return digests.of_value({"kind": "s3", "content": listing, "metadata": digests.of_file(extra) if extra else None})
