"""What every test folder shares: where data is, a home of its own for each test, and when a GPU test runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["tests.chromium", "tests.prefect_server", "tests.s3.fixtures"]

ROOT = Path(__file__).resolve().parent.parent

# The first example pays for imports, so no deadline; the same examples in every run, so no surprises.
settings.register_profile("synaug", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("synaug")

os.environ["DO_NOT_TRACK"] = "true"  # Prefect and MLflow then count nothing
os.environ.setdefault("OMP_NUM_THREADS", "1")  # test workers share the cores


ONE_RETRAINING = ("test_again", "test_dask_runs", "test_killed", "test_retrain")
"""Files of tests/flows that look at the same retraining: it is made once where one worker has them all."""


class FilesTogether(LoadFileScheduling):
    """Each file's tests go to one worker, and so do the files that share what is dear to make."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(super()._split_scope(nodeid))
        return "one retraining" if file.parent.name == "flows" and file.stem in ONE_RETRAINING else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """With several workers, files are what they share out."""
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no GPU here"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: SYNAUG_DATA, or shared/data beside the repository; skips where there is none."""
    folder = Path(os.environ.get("SYNAUG_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}; SYNAUG_DATA names another folder")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty SYNAUG_HOME for this test, with the user's own services out of the way."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_S3_ENDPOINT_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("SYNAUG_HOME", str(folder))
    return folder
