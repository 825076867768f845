"""A bucket to mirror, on a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synaug_core.services.settings import Settings, settings
from tests.synaug_core.services.s3.pets import FILES


@pytest.fixture
def here(home: Path, bucket: Any) -> Settings:
    """An empty home, and the settings of the environment that the bucket's fixture made."""
    return settings()


@pytest.fixture
def filled(bucket: Any) -> Any:
    """A bucket with a few objects below `pets`, and one beside it that is not meant."""
    for name, body in FILES.items():
        bucket.put(f"pets/{name}", body)
    bucket.put("pets2/other.png", b"other")
    return bucket
