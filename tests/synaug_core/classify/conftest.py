from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from synaug_core.classify import tuning
from synaug_core.config import ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.seeds import stream
from tests.s3.swift import free_ports
from tests.searches import CONFIG, finish
from tests.stack_programs import require_stack_programs

MakeSet = Callable[..., ImageSet]


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """Each test here computes in one thread."""


@pytest.fixture(scope="session")
def make_set() -> MakeSet:
    """Sets of noise with a texture for each class: stripes across, stripes down, a coarse pattern."""

    def make(counts: tuple[int, ...] = (12, 8), *, channels: int = 1, size: int = 16, seed: int = 0) -> ImageSet:
        labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
        images = torch.randint(0, 120, (len(labels), channels, size, size), generator=stream(seed), dtype=torch.uint8)
        place = torch.arange(size)
        across = ((place // 2) % 2).view(-1, 1).expand(size, size)
        patterns = (across, across.T, ((place // 4) % 2).view(-1, 1) ^ ((place // 4) % 2))
        for i, label in enumerate(labels.tolist()):
            images[i] += (100 * patterns[label % 3]).to(torch.uint8)
        names = tuple(f"{seed}-{i}" for i in range(len(labels)))
        classes = tuple("abcdefgh"[: len(counts)])
        return ImageSet(images, labels, classes, names, names, ('{"source": "made"}',) * len(labels))

    return make


@pytest.fixture(scope="session")
def quick() -> ClassifierConfig:
    """A training of under a second."""
    return ClassifierConfig(width=4, steps=24, batch_size=8, evaluate_every=6, learning_rate=3e-3)


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("SYNAUG_DATA") or Path(__file__).parents[4] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("real data sets are not here; name their folder in SYNAUG_DATA")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, dict[str, float]]]:
    """The trials of a search that nothing disturbed."""
    place = tmp_path_factory.mktemp("whole") / "study.log"
    return finish(tuning.open_study(str(place), "s", seed=5, config=CONFIG))


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of these tests, without a database's name."""
    require_stack_programs()
    from scripts.stack.postgres import running

    # Not pytest's folder, which is root's alone where root runs this: PostgreSQL then runs as another user.
    with tempfile.TemporaryDirectory(prefix="synaug-postgres-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "pids").mkdir()
        (place / "password").write_text("of-these-tests")
        with running(place / "postgres", free_ports(1)[0], place / "password") as address:
            yield f"postgres:of-these-tests@{address}"


@pytest.fixture
def empty_database(postgres: str) -> str:
    """The URL of a database of one test."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"postgresql://{postgres}/postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://{postgres}/{name}"


@pytest.fixture(params=["journal", "sqlite", pytest.param("postgresql", marks=pytest.mark.stack)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a search is kept: a file, or the URL of a database."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("empty_database"))
    return f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else str(tmp_path / "study.log")
