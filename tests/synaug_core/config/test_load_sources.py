from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from synaug_core.config import Config
from synaug_core.config.load import load
from synaug_core.config.sweep import cells, load_sweep
from synaug_core.data.sources import WHAT_TO_GIVE

Refusal = Callable[..., list[str]]


def test_a_folder_is_enough(data: Path) -> None:
    config = load("images")
    assert config.name == "images"
    assert config.data.source == str(data / "images")
    assert config == Config(name="images", data={"source": str(data / "images")})


def test_an_npz_file_is_enough(data: Path) -> None:
    assert load("set.npz").name == "set"
    assert load(str(data / "set.npz")).data.source == str(data / "set.npz")


def test_digits_become_a_rare_class_problem() -> None:
    config = load("digits")
    assert (config.name, config.data.source) == ("digits", "digits")
    assert config.data.long_tail is not None
    assert config.data.long_tail > 1
    assert config.classifier.augmentation.mirror == "none"


def test_digits_defaults_survive_overrides() -> None:
    load("digits", ["data.long_tail=3", "classifier.augmentation.mirror=both"])
    config = load("digits")
    assert config.data.long_tail == 20
    assert config.classifier.augmentation.mirror == "none"


def test_a_folder_named_digits_is_reached_by_a_path(data: Path) -> None:
    (data / "digits").mkdir()
    assert load("./digits").data.source == str(data / "digits")


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Blood cells (v2)", "Blood-cells-v2"), ("_hidden", "hidden"), ("細胞", "u7d30-u80de"), ("a" * 80, "a" * 63)],
)
def test_the_name_is_made_from_the_folder(data: Path, folder: str, name: str) -> None:
    (data / folder).mkdir()
    assert load(folder).name == name


def test_a_yaml_file_names_its_data_relative_to_itself(data: Path) -> None:
    (data / "deep").mkdir()
    (data / "deep" / "cells.yaml").write_text("data:\n  source: ../images\n  metadata: ../meta.csv\n")
    (data / "meta.csv").touch()
    config = load("deep/cells.yaml")
    assert config.name == "cells"
    assert config.data.source == str(data / "images")
    assert config.data.metadata == str(data / "meta.csv")


def test_metadata_may_be_in_the_sources_folder(data: Path, refusal: Refusal) -> None:
    inside, beside = data / "images" / "meta.csv", data / "deep" / "meta.csv"
    (data / "deep").mkdir()
    (data / "deep" / "cells.yaml").write_text("data: {source: ../images, metadata: meta.csv}\n")
    (data / "deep" / "swept.yaml").write_text("data: {source: ../images, metadata: meta.csv}\nsweep: {seed: [0]}\n")
    (data / "meta.csv").touch()  # the working directory is no place for what a file names
    [line] = refusal("deep/cells.yaml")
    assert line.startswith("data.metadata: there is no file meta.csv beside the configuration")
    inside.touch()
    assert load("deep/cells.yaml").data.metadata == str(inside)
    assert cells(load_sweep("deep/swept.yaml"))[0].config.data.metadata == str(inside)
    beside.touch()
    assert load("deep/cells.yaml").data.metadata == str(beside)


@pytest.mark.parametrize("order", [1, -1])
def test_metadata_of_an_override_may_be_in_the_sources_folder(data: Path, order: int) -> None:
    inside = data / "others" / "meta.csv"
    inside.parent.mkdir()
    inside.touch()
    overrides = ["data.source=others", "data.metadata=meta.csv"][::order]
    assert load("images", overrides).data.metadata == str(inside)
    assert load("images", ["data={source: others, metadata: meta.csv}"]).data.metadata == str(inside)
    (data / "meta.csv").touch()
    assert load("images", overrides).data.metadata == str(data / "meta.csv")


def test_a_relative_override_starts_at_the_working_directory(data: Path) -> None:
    (data / "deep").mkdir()
    (data / "deep" / "cells.yaml").write_text("data:\n  source: ../nowhere\n")
    (data / "weights.safetensors").touch()
    config = load("deep/cells.yaml", ["data.source=images", "classifier.weights_file=weights.safetensors"])
    assert config.data.source == str(data / "images")
    assert config.classifier.weights_file == str(data / "weights.safetensors")


def test_yaml_may_name_the_digits(data: Path) -> None:
    (data / "d.yml").write_text("data: {source: digits}\n")
    assert load("d.yml").data.source == "digits"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("s3://bucket/Blood cells", "Blood-cells"),
        ("s3://my-bucket", "my-bucket"),
        ("s3://bucket/sets/breast.npz", "breast"),
        ("s3://bucket/v1.2", "v1-2"),
        ("s3://bucket/looks.yaml", "looks-yaml"),
    ],
)
def test_objects_in_s3_are_enough(data: Path, source: str, name: str) -> None:
    config = load(f"{source}/")
    assert (config.name, config.data.source) == (name, source)


def test_a_yaml_file_or_an_override_may_name_objects_in_s3(data: Path) -> None:
    (data / "cells.yaml").write_text("data: {source: 's3://bucket/prefix/', metadata: meta.csv}\n")
    (data / "meta.csv").touch()
    config = load("cells.yaml")
    assert config.data.source == "s3://bucket/prefix"
    assert config.data.metadata == str(data / "meta.csv")
    assert load("images", ["data.source=s3://bucket/x"]).data.source == "s3://bucket/x"


def test_credentials_in_an_address_are_refused_unseen(data: Path, refusal: Refusal) -> None:
    [line] = refusal("s3://AKIA:hunter2@bucket/prefix")
    assert line.startswith("SOURCE: credentials have no place in an s3:// address; set AWS_ACCESS_KEY_ID")
    [line] = refusal("images", "data.source=s3://AKIA:hunter2@bucket/prefix")
    assert "hunter2" not in line
    (data / "secret.yaml").write_text("data: {source: 's3://AKIA:hunter2@bucket/prefix'}\n")
    [line] = refusal("secret.yaml")
    assert "hunter2" not in line


@pytest.mark.parametrize("nothing", ["", " "])
def test_nothing_is_not_the_working_directory(data: Path, refusal: Refusal, nothing: str) -> None:
    (data / "blank.yaml").write_text(f"data: {{source: '{nothing}'}}\n")
    assert refusal(nothing) == [
        "SOURCE: nothing was given; give a YAML file, or just the images (is a variable empty?)"
    ]
    said = f"data.source: nothing was given; give {WHAT_TO_GIVE}"
    assert refusal("blank.yaml") == refusal("images", f"data.source='{nothing}'") == [said]
    assert load("blank.yaml", ["data.source=images"]).data.source == str(data / "images")


def test_what_is_no_source(data: Path, refusal: Refusal) -> None:
    (data / "images.zip").touch()
    (data / "http.yaml").write_text("data: {source: 'http://host/prefix'}\n")
    (data / "gone.yaml").write_text("data: {source: gone}\n")
    assert refusal("nowhere") == [f"SOURCE: 'nowhere' does not exist (looked for {data / 'nowhere'})"]
    assert refusal("images.zip") == [
        "SOURCE: 'images.zip' is not usable; give a folder of class folders, a file that names the images' classes "
        "(.csv, .tsv, .jsonl, .json), an .npz or .parquet file, or `digits`"
    ]
    assert refusal("imagse") == [f"SOURCE: 'imagse' does not exist (looked for {data / 'imagse'}); is images meant?"]
    other = "http:// is not read; give s3://bucket/prefix, or copy the images into a folder"
    assert refusal("http://host/prefix") == [f"SOURCE: {other}"]
    assert refusal("http.yaml") == [f"data.source: {other}"]
    assert refusal("images", "data.source=http://host") == [f"data.source: {other}"]
    assert refusal("gone.yaml") == [f"data.source: '{data / 'gone'}' does not exist"]
    assert refusal("images", "data.metadata=no.csv") == [
        "data.metadata: there is no file no.csv beside the configuration (for --set: in the working directory) or in "
        "the source's folder"
    ]
    assert refusal("images", f"data.metadata={data}/no.csv") == [
        f"data.metadata: the file {data / 'no.csv'} does not exist"
    ]
    assert refusal("images", "classifier.weights_file=w") == [
        f"classifier.weights_file: the file {data / 'w'} does not exist"
    ]


def test_what_is_no_configuration_file(data: Path, refusal: Refusal) -> None:
    for name, content in {
        "empty": b"",
        "list": b"- a\n- b\n",
        "word": b"hello\n",
        "binary": b"\xff\xfe\x00\x01",
        "large": b"# " + b"x" * 300_000,
    }.items():
        (data / f"{name}.yaml").write_bytes(content)
    mapping = "a configuration is a mapping of keys to values, and this file holds"
    assert refusal("none.yaml") == ["none.yaml: cannot be read (no such file or directory)"]
    assert refusal("empty.yaml") == [f"empty.yaml: {mapping} nothing"]
    assert refusal("list.yaml") == [f"list.yaml: {mapping} a list"]
    assert refusal("word.yaml") == [f"word.yaml: {mapping} a single value"]
    assert refusal("binary.yaml") == ["binary.yaml: not a text file in UTF-8"]
    assert refusal("large.yaml") == ["large.yaml: larger than 256 kB, which no configuration is"]


def test_every_example_is_a_configuration(data: Path) -> None:
    examples = Path(__file__).parents[3] / "examples"
    found = sorted(examples.glob("*.yaml"))
    assert len(found) >= 7
    for path in found:
        source = [f"data.source={'digits' if path.stem == 'digits' else 'images'}"]
        swept = "\nsweep:" in path.read_text()
        configs = [c.config for c in cells(load_sweep(str(path), source))] if swept else [load(str(path), source)]
        assert {c.name for c in configs} == {path.stem}
