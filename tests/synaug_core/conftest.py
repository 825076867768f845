"""What tests of several packages of the core share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synaug_core.services.mlflow.clients import client
from synaug_core.services.settings import Settings, settings
from tests.mlflow_server import embedded_home


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes in one thread while the test runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def latent_double():
    """`latent_double(encode, decode, classes, channels, size)`: a generator with a latent space of two formulas.

    `encode` gives mean and log variance of uint8 images, `decode` images in [0, 1] of latent vectors. It is never
    fitted, and makes nothing but what is decoded.
    """
    import torch

    from synaug_core.config import GeneratorConfig
    from synaug_core.generators.base import LatentGenerator

    class Double(LatentGenerator):
        kind = "double"

        def __init__(self, encode, decode, classes, channels, size):
            super().__init__(GeneratorConfig(), classes, channels, size)
            self._encode, self._decode = encode, decode

        def fit(self, images, **_):
            raise NotImplementedError

        def sample(self, n, class_name, *, seed):
            raise NotImplementedError

        def save(self, folder):
            raise NotImplementedError

        @classmethod
        def load(cls, folder, device="cpu"):
            raise NotImplementedError

        def encode(self, images, class_name):
            return self._encode(images)

        def decode_with_gradient(self, z, class_name):
            return self._decode(z)

        def decode(self, z, class_name):
            with torch.no_grad():
                return self.decode_with_gradient(z, class_name)

    return Double


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    current = settings({"SYNAUG_HOME": str(home)})
    client(current)
    return home / "mlflow.db"


@pytest.fixture
def current(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The embedded default with tables that are made once, in a folder whose name needs care."""
    home = tmp_path / "a home"
    home.mkdir()
    return embedded_home(home, empty_database, monkeypatch)


@pytest.fixture
def embedded(current: Settings) -> Settings:
    """`current`, for tests of the registry: there a function has that name."""
    return current


@pytest.fixture(scope="session")
def hostile() -> tuple[str, ...]:
    """Names that mean harm: HTML, LaTeX, control characters, length, letters of other scripts."""
    return ("<script>alert(1)</script>", "$\\frac{1}{0}$", "[red]\x1b[2J\nname", "x" * 300, "日本 & “ü”")


@pytest.fixture(scope="session")
def comparison_of(hostile: tuple[str, ...]):
    """`comparison_of(classes, arms=...)`: a comparison of that many classes, the last without test images."""
    import numpy as np

    from synaug_core.config import EvaluationConfig
    from synaug_core.evaluate.comparison import compare
    from synaug_core.evaluate.predictions import Predictions

    def make(classes: int, arms: tuple[str, ...] = ("original", "control", "combined"), reps: int = 2):
        rng = np.random.default_rng(classes)
        names = (hostile + tuple(f"class {i}" for i in range(classes)))[:classes]
        labels = np.arange(6 * (classes - (classes > 2))).astype(np.int64) % max(classes - (classes > 2), 1)
        ids = tuple(map(str, range(len(labels))))

        def one() -> Predictions:
            z = rng.normal(0, 1, (len(labels), classes))
            z[np.arange(len(labels)), labels] += 1.5
            p = np.exp(z)
            return Predictions(ids, labels, p / p.sum(1, keepdims=True), names)

        return compare(
            {arm: [one() for _ in range(reps)] for arm in arms},
            {arm: [float(rng.random())] for arm in arms},
            controls=[a for a in arms if a in ("original", "control")],
            train_counts={name: 3 * i + 2 for i, name in enumerate(names)},
            config=EvaluationConfig(resamples=50),
            seed=0,
        )

    return make
