"""`docs/extending.md` as it stands: its file, announced as it says, used as it says, checked as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from synaug_core.errors import ConfigError
from synaug_core.plugins import GENERATORS, STRATEGIES, load_plugin, plugin_names, plugin_sources, plugin_versions

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def blocks(root):
    """The page's blocks: module, metadata, configuration, test."""
    found = _BLOCK.findall((root / "docs" / "extending.md").read_text(encoding="utf-8"))
    assert [kind for kind, _ in found] == ["python", "toml", "yaml", "python"]
    return dict(zip(("module", "metadata", "config", "test"), (text for _, text in found), strict=True))


def install(folder: Path, name: str, entries: dict[str, dict[str, str]], **modules: str) -> None:
    """What an installed distribution is: modules and a .dist-info folder beside them."""
    info = folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n", encoding="utf-8")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text, encoding="utf-8")


def run(folder: Path, root: Path, *command: str) -> str:
    path = os.pathsep.join((str(folder), str(root)))
    env = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def example(blocks, tmp_path):
    """The page's distribution, as pip would install it."""
    project = tomllib.loads(blocks["metadata"])["project"]
    install(tmp_path, project["name"], project["entry-points"], synaug_pca=blocks["module"])
    (tmp_path / "config.yaml").write_text(blocks["config"], encoding="utf-8")
    (tmp_path / "test_synaug_pca.py").write_text(blocks["test"], encoding="utf-8")
    return tmp_path


def test_the_example_passes_the_suite(example, root):
    from synaug_core.testing.conformance import GENERATOR_CHECKS

    said = run(example, root, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_synaug_pca.py")
    assert f"{len(GENERATOR_CHECKS)} passed" in said


USE = """
import sys, torch
from pathlib import Path
from synaug_core.config.load import load
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob
from synaug_core.synthesis import registry as strategies
from synaug_core.synthesis.make import synthesise
from synaug_core.testing.conformance import make_images

assert "synaug_pca" not in sys.modules
assert "pca" in registry.kinds() and "blend" in strategies.names()
assert "synaug_pca" not in sys.modules, "names are known without the code"
config = load("config.yaml")
train = make_images({"few": 6, "many": 20}, 1, 16)
for arm in (arm for arm in config.arms if arm.synthesis):
    section = config.generator_named(arm.synthesis.generator)
    fitted = registry.create(section, train.classes, 1, 16).fit(train, FitJob(seed=0, device=torch.device("cpu")))
    fitted.save(Path(arm.name))
    loaded = registry.load(Path(arm.name))
    unfiltered = arm.synthesis.model_copy(update={"filters": None})
    made = [synthesise(g, train, {"few": 14}, unfiltered, seed=0).images for g in (fitted, loaded)]
    assert torch.equal(made[0].images, made[1].images) and len(made[0]) == 14
    assert len(made[0].images.unique(dim=0)) == 14
    print(arm.name, type(loaded).__name__, arm.synthesis.strategy)
"""


def test_the_example_is_used_by_name(example, root):
    (example / "use.py").write_text(USE, encoding="utf-8")
    said = run(example, root, "use.py")
    assert said.splitlines() == ["pca PCAGenerator interpolate", "pca-blend PCAGenerator blend"]


def test_what_is_announced_is_known_and_told(example, monkeypatch):
    monkeypatch.syspath_prepend(example)
    assert plugin_names(GENERATORS) == ("pca",)
    assert plugin_versions() == {
        f"{GENERATORS}/pca": "synaug-pca 0.1.0",
        f"{STRATEGIES}/blend": "synaug-pca 0.1.0",
    }
    before = plugin_sources()
    with (example / "synaug_pca.py").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    after = plugin_sources()
    assert all(len(digest) == 64 for digest in after.values())
    assert all(after[name] != before[name] for name in before)


BROKEN = {
    "absent": ("no_such_module_anywhere:Thing", "cannot be imported: ModuleNotFoundError"),
    "raising": ("broken_plugin_raises:Thing", "cannot be imported: RuntimeError: out of order"),
    "nameless": ("broken_plugin_objects:Nothing", "cannot be imported: AttributeError"),
    "number": ("broken_plugin_objects:NUMBER", "no subclass of Generator|is no Entry"),
}
MODULES = {
    "broken_plugin_raises": "raise RuntimeError('out of\\norder')\n",
    "broken_plugin_objects": """
from synaug_core.generators.class_vae import ClassVAE
NUMBER = 7
class Other(ClassVAE):
    kind = "another"
""",
}


@pytest.fixture
def broken(tmp_path, monkeypatch):
    values = {name: value for name, (value, _) in BROKEN.items()}
    entries = {GENERATORS: values | {"misnamed": "broken_plugin_objects:Other"}, STRATEGIES: values}
    install(tmp_path / "a", "broken", entries, **MODULES)
    monkeypatch.syspath_prepend(tmp_path / "a")
    return tmp_path


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_hurts_only_who_asks_for_it(broken, name):
    from synaug_core.config import GeneratorConfig
    from synaug_core.generators import registry
    from synaug_core.synthesis import registry as strategies

    said = BROKEN[name][1]
    with pytest.raises(ConfigError, match=f"plugin '{name}'.*({said})") as generator:
        registry.create(GeneratorConfig(kind=name), ("a",), 1, 16)
    with pytest.raises(ConfigError, match=f"plugin '{name}'.*({said})") as strategy:
        strategies.find(name)
    assert "\n" not in f"{generator.value}{strategy.value}"
    assert registry.create(GeneratorConfig(), ("a",), 1, 16).kind == "vae"
    assert strategies.find("prior").make.__name__ == "prior"


def test_a_generator_announced_under_another_name_is_refused(broken):
    from synaug_core.config import GeneratorConfig
    from synaug_core.generators import registry

    with pytest.raises(ConfigError, match=r"'misnamed'.*its class says kind = 'another'"):
        registry.create(GeneratorConfig(kind="misnamed"), ("a",), 1, 16)


def test_a_name_announced_twice_is_refused(broken, monkeypatch):
    install(broken / "b", "rival", {GENERATORS: {"number": "elsewhere:Thing"}})
    monkeypatch.syspath_prepend(broken / "b")
    with pytest.raises(ConfigError, match=r"announced more than once: broken 0\.1\.0, rival 0\.1\.0"):
        load_plugin(GENERATORS, "number")
    monkeypatch.syspath_prepend(broken / "a")  # the same one again
    assert load_plugin(STRATEGIES, "number") == 7


def test_an_unknown_name_lists_the_known_ones(example, monkeypatch):
    from synaug_core.config import GeneratorConfig
    from synaug_core.generators import registry

    monkeypatch.syspath_prepend(example)
    assert load_plugin(GENERATORS, "pcaa") is None
    with pytest.raises(ConfigError, match=r"unknown kind 'pcaa'; known are .*pca.*vae"):
        registry.create(GeneratorConfig(kind="pcaa"), ("a",), 1, 16)
