"""The container files, read and held to rules. Nothing is built or started here."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted([*DOCKER.glob("Dockerfile"), *DOCKER.glob("*.Dockerfile")])
SCRIPTS = sorted((DOCKER / "entrypoints").glob("*.sh"))
PINNED = re.compile(r"^[a-z0-9./-]+:(?!latest)[^:@]*\d[^:@]*(@sha256:[0-9a-f]{64})?$")
# These end after their work; Compose waits for that.
ONE_SHOT = {"prepare", "configure"}
PUBLISHED = {"mlflow", "prefect"}
# Variables whose values nobody may read.
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|AUTH_STRING|TOKEN")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def with_defaults(text: str) -> str:
    """What Compose makes of ${NAME:-default} where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_every_service_is_complete(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert ("healthcheck" in service) == (name not in ONE_SHOT), name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name
        assert service["networks"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert service["logging"]["options"]["max-size"], name
        assert "container_name" not in service, name


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert PINNED.match(with_defaults(service["image"])), name
        if "build" in service:
            build = service["build"]
            file = (DOCKER / build["context"] / build["dockerfile"]).resolve()
            assert file in DOCKERFILES, name
            if "target" in build:
                assert re.search(rf"^FROM \S+ AS {build['target']}$", file.read_text(), re.MULTILINE), name


def test_nobody_is_root(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", service["user"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert all("docker.sock" not in volume for volume in service.get("volumes", ())), name


def test_only_the_pages_are_published_and_on_loopback(services: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in services.items() if "ports" in service} == PUBLISHED
    for name in PUBLISHED:
        for port in services[name]["ports"]:
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", with_defaults(port)), name


def test_networks_part_stores_from_the_outside(compose: dict[str, Any]) -> None:
    assert compose["networks"]["backend"] == {"internal": True}
    for name in ("postgres", "s3"):
        assert compose["services"][name]["networks"] == ["backend"]


def test_secrets_come_from_files_alone(compose: dict[str, Any]) -> None:
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for name, service in compose["services"].items():
        given = set()
        for variable, value in service.get("environment", {}).items():
            if not SECRET.search(variable):
                continue
            assert variable.endswith("_FILE"), f"{name}: {variable}"
            match = re.fullmatch(r"/run/secrets/(\w+)", value)
            assert match, f"{name}: {variable}"
            given.add(match.group(1))
        assert given == set(service.get("secrets", ())), name
        assert given <= set(compose["secrets"]), name


def test_the_names_used_exist(compose: dict[str, Any]) -> None:
    services = compose["services"]
    named = {volume.partition(":")[0] for s in services.values() for volume in s.get("volumes", ())}
    assert {name for name in named if re.fullmatch(r"\w+", name)} == set(compose["volumes"])
    assert {n for s in services.values() for n in s["networks"]} == set(compose["networks"])
    used = {name for service in services.values() for name in service.get("secrets", ())}
    assert used == set(compose["secrets"])
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            done = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert wanted == {"condition": done}, f"{name} -> {other}"


def test_the_example_settings_are_those_that_are_read() -> None:
    read = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text())) | {"COMPOSE_PROFILES"}
    lines = [line for line in (DOCKER / ".env.example").read_text().splitlines() if line and line[0] != "#"]
    offered = dict(line.split("=", 1) for line in lines)
    assert set(offered) == read
    assert not [name for name in offered if SECRET.search(name) and name != "SYNAUG_SECRETS"]  # a folder
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (DOCKER / "compose.yaml").read_text()))
    assert {name: offered[name] for name in defaults} == defaults


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda p: p.name)
def test_dockerfiles(file: Path) -> None:
    text = re.sub(r"\\\n\s*", " ", file.read_text())
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    stages, bases = set(), []
    for word, rest in steps:
        if word == "FROM":
            base, *alias = rest.split(" AS ")
            bases.append(base)
            assert base in stages or PINNED.match(base), base
            stages.update(alias)
    assert "ADD" not in [word for word, _ in steps]
    assert not [rest for word, rest in steps if word == "RUN" and re.search(r"curl|wget|sudo|chmod 777", rest)]
    assert not [rest for word, rest in steps if word in ("ENV", "ARG") and SECRET.search(rest)]
    for rest in (rest for word, rest in steps if word == "RUN" and "pip install" in rest):
        installs = re.findall(r"pip install[^&]*", rest)
        assert all(re.search(r"--require-hashes|--no-index|--default-index", one) for one in installs), rest
    for stage in [s for s in ("cpu", "cuda") if s in stages] or [None]:
        assert last_user(steps, stage) == "10001:10001"
    copied = [c.split()[:-1] for word, c in steps if word == "COPY" and "--from" not in c]
    ignored = Path(f"{file}.dockerignore").read_text().splitlines()
    for source in (s for group in copied for s in group):
        assert any(source.removeprefix("./").startswith(line[1:]) for line in ignored if line.startswith("!")), source
        assert (ROOT / source).exists(), f"{source} is copied, but is not there"


def last_user(steps: list[list[str]], stage: str | None) -> str | None:
    """The user that a stage ends with."""
    user, within = None, stage is None
    for word, rest in steps:
        if word == "FROM" and stage is not None:
            within = rest.endswith(f" AS {stage}")
        if word == "USER" and within:
            user = rest
    return user


def test_the_image_fits_the_templates() -> None:
    """Volumes of the Docker and Kubernetes pools are mounted where the image's user lives."""
    text = (DOCKER / "Dockerfile").read_text()
    assert "--uid 10001 --gid 10001 --home-dir /var/lib/synaug" in text
    assert '"fsGroup": 10001' in (ROOT / "deployments" / "templates" / "kubernetes.json").read_text()
    for kind in ("docker", "kubernetes"):
        assert "/var/lib/synaug" in (ROOT / "deployments" / "templates" / f"{kind}.json").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_plain_shell(script: Path) -> None:
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
    text = script.read_text()
    if text.startswith("#!"):
        assert text.startswith("#!/bin/sh\n")
        assert os.access(script, os.X_OK)
        assert re.search(r"^set -eu$", text, re.MULTILINE)
    assert not re.search(r"\[\[|\bfunction \b|\blocal \b|set -x", text)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    make = ["sh", str(DOCKER / "entrypoints" / "secrets.sh"), str(tmp_path / "secrets")]
    subprocess.run(make, check=True)
    first = {p.name: p.read_text() for p in (tmp_path / "secrets").iterdir()}
    subprocess.run(make, check=True)
    assert {p.name: p.read_text() for p in (tmp_path / "secrets").iterdir()} == first
    assert set(first) == set(yaml.safe_load((DOCKER / "compose.yaml").read_text())["secrets"])
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    values = [value for name, value in first.items() if name != "s3_access"]
    assert len(set(values)) == len(values)
    assert min(map(len, values)) >= 48


@pytest.mark.parametrize("name", ["mlflow.sh", "prefect.sh", "worker.sh", "s3.sh", "setup.sh"])
def test_what_is_missing_is_named(name: str) -> None:
    command = ["sh", str(DOCKER / "entrypoints" / name), *(["stores"] if name == "setup.sh" else [])]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"[A-Z_]+ \(or [A-Z_]+_FILE\) has to be set$", done.stderr.strip()), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unreadable_secret_is_named(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD_FILE": str(tmp_path / "nowhere")}
    command = ["sh", str(DOCKER / "entrypoints" / "run.sh"), "true"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"PGPASSWORD_FILE: {tmp_path}/nowhere cannot be read\n"


def test_the_cpu_image_leaves_only_cuda_out() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    command = ["awk", "-f", str(DOCKER / "without_cuda.awk")]
    rest = subprocess.run(command, input=lock, capture_output=True, text=True, check=True).stdout

    def names(text: str) -> set[str]:
        return set(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", text, re.MULTILINE))

    left_out = names(lock) - names(rest)
    assert {"torch", "torchvision"} < left_out
    assert all(name in ("torch", "torchvision", "triton") or name.startswith(("nvidia-", "cuda-")) for name in left_out)
    assert {"timm", "torch-fidelity", "numpy"} <= names(rest)
