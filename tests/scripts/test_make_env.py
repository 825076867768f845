"""What `scripts/make_env.sh` leaves behind."""

import importlib.util
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["mlflow", "prefect", "sklearn", "torch"])
def test_packages_are_compiled(package: str) -> None:
    """A process that may not write does not compile them anew."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(importlib.util.cache_from_source(spec.origin)).is_file()
