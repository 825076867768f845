"""Servers and the undisturbed retraining for all faults, and the table of what came of them."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synaug_core.services.settings import Settings, settings
from tests.environments import forget_services
from tests.faults import scene as scenes
from tests.faults import servers as places
from tests.stack_programs import require_stack_programs

# Ports, ids of runs and places of one time only.
_VARYING = re.compile(r"(?<=127\.0\.0\.1:)\d+|\b[0-9a-f]{32}\b|/tmp/[^ ;)]*")
_LOG = re.compile(r" \(log: [^)]*\)")
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


@pytest.fixture(scope="session")
def room() -> Iterator[Path]:
    """Not pytest's folder, which is root's alone where root runs this: PostgreSQL then runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="synaug-faults-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(room: Path) -> Iterator[places.Servers]:
    """PostgreSQL, S3, MLflow, Prefect."""
    require_stack_programs()
    with places.serving(room) as running:
        yield running


@pytest.fixture(scope="session")
def zygote(room: Path) -> Iterator[scenes.Zygote]:
    """Where commands come from."""
    found = scenes.Zygote(room)
    yield found
    found.close()


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, servers: places.Servers, zygote: scenes.Zygote, room: Path
) -> Iterator[Callable[..., scenes.Scene]]:
    """Makes scenes of this test; afterwards all servers run again."""
    made: list[Path] = []

    def make(name: str, **given: Any) -> scenes.Scene:
        made.append(room / "scenes" / name)
        return scenes.Scene(name, made[-1], servers, zygote, **given)

    yield make
    servers.heal()
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def undisturbed(servers: places.Servers, zygote: scenes.Zygote, room: Path) -> Callable[[bool], scenes.Whole]:
    """What the retraining comes to when nothing happens."""
    known: dict[bool, scenes.Whole] = {}

    def find(direct: bool) -> scenes.Whole:
        if direct not in known:
            one = scenes.Scene(f"whole-{direct}", room / "scenes" / f"whole-{direct}", servers, zygote, direct=direct)
            servers.mlflow_proxy.seen.clear()
            servers.s3.seen.clear()
            running = one.start()
            assert running.wait() == 0, running.text()
            known[direct] = one.whole()
        return known[direct]

    return find


@pytest.fixture
def place(servers: places.Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Settings]:
    """This process as a client of the servers, in a home of its own."""

    def go(direct: bool) -> Settings:
        forget_services(monkeypatch)
        given = {**servers.environment, "SYNAUG_HOME": str(tmp_path / "home"), "AWS_MAX_ATTEMPTS": "4"}
        given |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
        given |= {"MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.1", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
        if direct:
            given["MLFLOW_TRACKING_URI"] = f"{servers.database.address}/mlflow"
            given["SYNAUG_ARTIFACT_ROOT"] = f"s3://{places.BUCKET}/direct"
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return settings()

    return go


@pytest.fixture
def account(request: pytest.FixtureRequest) -> Callable[[str, str, str, float], None]:
    """Notes what came of a fault, in the page of `--faults-table` too."""

    def note(name: str, what: str, outcome: str, seconds: float) -> None:
        sys.stdout.write(f"{name}: {what}: {outcome} ({seconds:.0f} s)\n")
        sys.stdout.flush()
        if target := request.config.getoption("--faults-table", None):
            write_row(Path(target), name, what, outcome, seconds)

    return note


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--faults-table FILE`: where the table goes."""
    parser.addoption("--faults-table", default=None, metavar="FILE", help="put the table of faults into this page")


def write_row(page: Path, name: str, what: str, outcome: str, seconds: float) -> None:
    """Put a row into the table between the page's two marks, or where that fault's row is."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    lines = {line.split("`")[1]: line for line in old.splitlines() if line.startswith("| `")}
    outcome = _VARYING.sub("...", _LOG.sub("", outcome)).replace("|", "/")
    lines[name] = f"| `{name}` | {what} | {outcome} | {seconds:.0f} |"
    table = ["| Fault | What is done | What came of it | s |", "|---|---|---|---:|", *lines.values()]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(table) + f"\n\n{END}{after}", encoding="utf-8")
