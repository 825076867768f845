"""Single operations on real servers whose answers are spoilt: they come to the right end, or to one line and to the
right end the next time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synaug_core import digests
from synaug_core.errors import SynaugError
from synaug_core.refs import Reference, RunRef
from synaug_core.services.settings import Settings, settings
from tests.faults.parts import PART_FAULTS, PartFault
from tests.faults.servers import BUCKET, Servers, client
from tests.faults.table import RECOVERS
from tests.s3.faults import Fault

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


class Operations:
    """What is done; each checks its own end and may be done again after it failed."""

    def __init__(self, name: str, servers: Servers, folder: Path) -> None:
        self.name, self.servers, self.folder = name, servers, folder
        rng = np.random.default_rng(3)
        self.images = {f"{c}/{i:02}.png": rng.bytes(2000) for c in ("cat", "dog") for i in range(12)}

    def do(self, operation: str) -> None:
        getattr(self, operation.replace(" ", "_"))()

    def check_nothing_half(self) -> None:
        """No copy under its final name has other bytes than it should."""
        for path in settings().home.glob("mirrors/*/files/*/*/*.png"):
            assert path.read_bytes() == self.images[path.relative_to(path.parents[1]).as_posix()]
        for folder in settings().cache.glob("[!.]*"):
            for whole in folder.iterdir():
                files = {f.relative_to(whole).as_posix(): digests.of_file(f) for f in whole.rglob("*") if f.is_file()}
                assert digests.of_value(files) == folder.name

    def mirror(self) -> None:
        from synaug_core.services.s3.mirror import mirrored

        s3 = client(self.servers.store.server)
        if not s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.name}/").get("KeyCount"):
            for key, body in self.images.items():
                s3.put_object(Bucket=BUCKET, Key=f"{self.name}/pets/{key}", Body=body)
        with mirrored(f"s3://{BUCKET}/{self.name}/pets", settings()) as mirror:
            found = {p.relative_to(mirror.path).as_posix(): p.read_bytes() for p in mirror.path.rglob("*.png")}
        assert found == self.images

    def _run(self) -> RunRef:
        from synaug_core.services.mlflow.runs import open_run

        return open_run(settings(), experiment=f"parts/{self.name}", key="k", stage="step", name="step")

    def artifact(self) -> None:
        from synaug_core.services.mlflow.artifacts import fetch, put_folder

        model = self.folder / "model"
        model.mkdir(exist_ok=True)
        (model / "weights.safetensors").write_bytes(np.random.default_rng(5).bytes(300_000))
        (model / "spec.json").write_text("{}")
        uri, sha256 = put_folder(self._run(), model, "model")
        found = fetch(Reference(uri=uri, sha256=sha256, run_id="r"))
        assert (found / "weights.safetensors").read_bytes() == (model / "weights.safetensors").read_bytes()

    direct_artifact = artifact

    def record(self) -> None:
        from synaug_core.services.mlflow.clients import client as mlflow_client
        from synaug_core.services.mlflow.runs import recording

        given = {"experiment": f"parts/{self.name}", "key": "k", "stage": "step", "name": "step"}
        with recording(settings(), **given) as recorder:
            recorder.curve("loss", [1, 2, 3], [0.3, 0.2, 0.1])
            recorder.params({"steps": 3})
        mlflow = mlflow_client(settings())
        number = mlflow.get_experiment_by_name(f"parts/{self.name}").experiment_id
        [run] = mlflow.search_runs([number])
        assert (run.info.status, run.data.params) == ("FINISHED", {"steps": "3"})
        assert [p.value for p in mlflow.get_metric_history(run.info.run_id, "loss")] == [0.3, 0.2, 0.1]

    def result(self) -> None:
        from tasks.engine.result_storage import S3Results

        storage, content = S3Results(address=f"s3://{BUCKET}/results"), b'{"result": 1}' * 400
        storage.write_path(self.name, content)
        assert storage.read_path(self.name) == content

    def promote(self) -> None:
        from synaug_core.services.mlflow.clients import client as mlflow_client
        from synaug_core.services.models import registry
        from tests.versions import add_version

        version = add_version(settings(), self.name, self._run(), "k")
        registry.promote(settings(), self.name, version.version)
        found = mlflow_client(settings()).get_registered_model(self.name)
        assert {k: str(v) for k, v in found.aliases.items()} == {"champion": version.version}
        assert [r.version for r in registry.champion_periods(settings(), self.name)] == [version.version]


@pytest.mark.parametrize("fault", PART_FAULTS, ids=lambda f: f.id)
def test_fault(
    fault: PartFault,
    servers: Servers,
    place: Callable[[bool], Settings],
    tmp_path: Path,
    account: Callable[..., None],
) -> None:
    place(fault.operation.startswith("direct"))
    operations, begun = Operations(fault.id, servers, tmp_path), time.monotonic()
    faults = servers.s3 if fault.place == "s3" else servers.mlflow_proxy
    planned = Fault(fault.kind, fault.times, fault.hits)
    faults.plan.append(planned)
    try:
        if fault.expected == RECOVERS:
            operations.do(fault.operation)
            said = "recovers"
            assert planned.times == 0, "it did not happen as often as it should"
        else:
            with pytest.raises(SynaugError) as caught:
                operations.do(fault.operation)
            said = str(caught.value)
            assert len(said.splitlines()) == 1, said
            assert fault.says in said, said
            assert planned.times < fault.times
    finally:
        faults.plan.clear()
    operations.check_nothing_half()
    if fault.expected != RECOVERS:
        operations.do(fault.operation)
        operations.check_nothing_half()
        said += "; the next try succeeds"
    account(fault.id, fault.what, said, time.monotonic() - begun)
