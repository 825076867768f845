"""Places below SYNAUG_HOME, each named once. They lie on users' disks, so their names never change."""

from pathlib import Path

ARTIFACTS = "artifacts"
CACHE = "cache"
"""Copies of artifacts that lie elsewhere."""
CHECKPOINTS = "checkpoints"
LOCKS = "locks"
LOGS = "logs"
MIRRORS = "mirrors"
"""Copies of images in S3."""
MLFLOW_DATABASE = "mlflow.db"
PREFECT = "prefect"
PREFECT_DATABASE = "prefect.db"
PREFECT_RESULTS = "storage"
SERVED = "served"
"""Predictions of the prediction service."""
STACK = "stack"
TUNING_JOURNAL = "tuning.journal"
TURING = "turing"


def lock(home: Path, name: str) -> Path:
    """The file that a process holds while it does what others must not do at the same time."""
    return home / LOCKS / f"{name}.lock"


def mirror_lock(mirror: Path) -> Path:
    """The lock of one of the folders in `MIRRORS`."""
    return lock(mirror.parent.parent, f"mirror-{mirror.name}")


def log(home: Path, name: str) -> Path:
    """The log of one process, or of one call of the command."""
    return home / LOGS / f"{name}.log"
