"""Have the images changed since the last retraining that ended well?"""

from __future__ import annotations

from synaug_core.config import DataConfig
from tasks.dataset import read_fingerprint
from tasks.step import action

__all__ = ["what_changed"]


@action
def what_changed(name: str, data: DataConfig) -> tuple[str, str | None]:
    """The fingerprint of the images, wherever they are, and what is new about them in words; None: nothing is.

    Raises:
        DataError: the images cannot be read.
        UserError: they are in S3, and the way to them is not as it should be.
    """
    from synaug_core.services.finished import FINGERPRINT_LENGTH, last_finished
    from synaug_core.services.settings import settings

    now = read_fingerprint.fn(data)
    before = last_finished(settings(), f"synaug/{name}")
    if before is None:
        return now, "no retraining has ended well yet"
    if before.fingerprint == now[:FINGERPRINT_LENGTH]:
        return now, None
    return now, f"the images are others than in the last retraining ({before.run_id})"
