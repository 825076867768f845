"""A retraining whose images and artifacts lie in S3, on a real server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A SYNAUG_HOME of this test alone."""
    return tmp_path / "home"


@pytest.fixture
def environment(surroundings: dict[str, str], home: Path, s3_server: Any) -> dict[str, str]:
    """A user's, with an S3 server."""
    return surroundings | s3_server.environment | {"SYNAUG_HOME": str(home), "AWS_CONFIG_FILE": "/dev/null"}


@pytest.fixture
def run(
    command: Callable[..., list[str]], environment: dict[str, str], tmp_path: Path
) -> Callable[..., tuple[subprocess.CompletedProcess[str], Any]]:
    """The command `synaug run`, and what it wrote to its JSON file."""

    def call(*arguments: object, **changed: str) -> tuple[subprocess.CompletedProcess[str], Any]:
        out = tmp_path / "out.json"
        out.unlink(missing_ok=True)
        done = subprocess.run(
            command("run", *arguments, "--json", out),
            cwd=tmp_path, env=environment | changed, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        return done, json.loads(out.read_text()) if out.exists() else None

    return call


def test_images_from_s3_and_artifacts_to_s3(
    run: Callable[..., tuple[subprocess.CompletedProcess[str], Any]],
    make_bucket: Callable[[], Any],
    tiny: Callable[..., dict[str, Any]],
    write: Callable[[Mapping[str, Any]], Path],
    draw_images: Callable[..., Path],
    client_of: Callable[[Path], Any],
    tree_of: Callable[[Any, str], list[Any]],
    home: Path,
    tmp_path: Path,
) -> None:
    bucket = make_bucket()
    images = draw_images(tmp_path / "pets", {"cat": 30, "dog": 20, "emu": 8})
    bucket.put_folder(images, "sets/pets")
    bucket.put("sets/pets/../../outside.png", b"evil")
    source = bucket.at("sets/pets")
    config = tiny("pets", data={"source": source, "classes": None, "long_tail": None}, repetitions=1)
    root = bucket.at("runs")

    done, outcome = run(write(config), SYNAUG_ARTIFACT_ROOT=root)
    assert done.returncode == 0, done.stderr
    assert outcome["dataset"]["classes"] == ["cat", "dog", "emu"]
    assert outcome["dataset"]["rejected"] == 1
    runs = [r for top in tree_of(client_of(home), "pets") for r in top.all()]
    assert all(r.info.artifact_uri.startswith(f"{root}/") for r in runs)
    assert all(r.info.status == "FINISHED" for r in runs)
    keys = bucket.keys("runs/")
    for ending in ("images/train.parquet", "comparison.json", "report.json", "/MLmodel"):
        assert any(key.endswith(ending) for key in keys), ending
    [dataset] = [r for r in runs if r.stage == "dataset"]
    assert dataset.params["source"] == source
    assert not list((home / "artifacts").rglob("*.parquet"))
    assert not (tmp_path / "outside.png").exists()
    assert not list(home.rglob("outside.png"))

    again, second = run(write(config), SYNAUG_ARTIFACT_ROOT=root)
    assert again.returncode == 0, again.stderr
    assert second["cached_steps"] == second["steps"]
    assert second["dataset"] == outcome["dataset"]
    assert second["arms"] == outcome["arms"]

    (images / "emu" / "00.png").rename(images / "emu" / "later.png")
    bucket.put("sets/pets/emu/later.png", (images / "emu" / "01.png").read_bytes())
    third, changed = run(write(config), SYNAUG_ARTIFACT_ROOT=root)
    assert third.returncode == 0, third.stderr
    assert changed["cached_steps"] < changed["steps"]

    secret = bucket.server.secret.encode()
    texts = [t.encode() for said in (done, again, third) for t in (said.stdout, said.stderr)]
    texts += [p.read_bytes() for p in home.rglob("*") if p.is_file()]
    texts += [bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read() for key in bucket.keys("runs/")]
    assert not any(secret in text for text in texts)


def test_the_same_numbers_as_from_a_folder(
    run: Callable[..., tuple[subprocess.CompletedProcess[str], Any]],
    make_bucket: Callable[[], Any],
    tiny: Callable[..., dict[str, Any]],
    write: Callable[[Mapping[str, Any]], Path],
    draw_images: Callable[..., Path],
    tmp_path: Path,
) -> None:
    bucket = make_bucket()
    images = draw_images(tmp_path / "pets", {"cat": 30, "dog": 20})
    bucket.put_folder(images, "pets")
    changes = {"arms": ["original"], "repetitions": 1, "tuning": {"trials": 0}}
    plain = {"classes": None, "long_tail": None}
    found = []
    for name, source in (("local", str(images)), ("remote", bucket.at("pets"))):
        done, outcome = run(write(tiny(name, data={"source": source} | plain, **changes)))
        assert done.returncode == 0, done.stderr
        found.append(outcome)
    assert found[0]["dataset"]["digest"] == found[1]["dataset"]["digest"]
    assert found[0]["arms"] == found[1]["arms"]


def test_what_is_wrong_is_one_line(
    run: Callable[..., tuple[subprocess.CompletedProcess[str], Any]],
    make_bucket: Callable[[], Any],
    draw_images: Callable[..., Path],
    tmp_path: Path,
) -> None:
    bucket = make_bucket()
    bucket.put("flat/one.png", b"not an image")
    bucket.put_folder(draw_images(tmp_path / "pets", {"cat": 20, "dog": 20}), "pets")
    wrong = {"AWS_SECRET_ACCESS_KEY": "hunter2-hunter2"}
    cases: list[tuple[str, dict[str, str], str]] = [
        (bucket.at("nothing"), {}, f"{bucket.at('nothing')} has no objects"),
        (bucket.at("flat"), {}, f"{bucket.at('flat')} has 1 images but no class folders"),
        (bucket.at("flat"), wrong, "no access to"),
        (bucket.at("pets"), {"SYNAUG_ARTIFACT_ROOT": "s3://no-such-bucket"}, "there is no bucket 'no-such-bucket'"),
    ]
    for source, changed, line in cases:
        done, outcome = run(source, "--set", f"name=run{len(line)}", **changed)
        assert (done.returncode, outcome) == (2, None), (source, changed, done.stderr)
        said = [text for text in done.stderr.splitlines() if text.startswith("synaug")]
        assert len(said) == 1, done.stderr
        assert line in said[0], done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
