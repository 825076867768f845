from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synaug_core.config import NAMED_ARMS, ClassifierConfig, Config
from synaug_core.config.load import load

LITE = "tf_efficientnet_lite0"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "none"),
        ({"pretrained": False}, "none"),
        ({"pretrained": False, "backbone": LITE, "weights_file": "w"}, "none"),
        ({"pretrained": True, "backbone": LITE}, "package"),
        ({"pretrained": True, "backbone": f"{LITE}.in1k"}, "package"),
        ({"pretrained": True, "backbone": "tf_efficientnet_lite1"}, "package"),
        ({"pretrained": True, "backbone": "resnet18"}, "hub"),
        ({"pretrained": True, "backbone": "efficientnet_lite0"}, "hub"),
        ({"pretrained": True}, "hub"),
        ({"pretrained": True, "backbone": LITE, "weights_file": "w"}, "file"),
        ({"weights_file": "w"}, "file"),
        ({"pretrained": "none", "weights_file": "w"}, "none"),
        ({"pretrained": "hub", "backbone": LITE}, "hub"),
    ],
)
def test_where_pretrained_weights_come_from(values: dict[str, Any], word: str) -> None:
    config = ClassifierConfig.model_validate(values)
    assert config.pretrained == word
    assert ClassifierConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pretrained": "file"}, "pretrained: file needs the file"),
        ({"pretrained": "hub", "weights_file": "w"}, "pretrained: hub and weights_file are two sources"),
        ({"pretrained": "package", "weights_file": "w"}, "pretrained: package and weights_file are two sources"),
        ({"pretrained": "maybe"}, "'none', 'package', 'hub' or 'file'"),
        ({"pretrained": True, "backbone": ["a"]}, "valid string"),
    ],
)
def test_sources_of_weights_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClassifierConfig.model_validate(values)


@pytest.mark.parametrize(
    ("values", "backbone", "word"),
    [
        ({}, LITE, "package"),
        ({"backbone": "tf_efficientnet_lite1"}, "tf_efficientnet_lite1", "package"),
        ({"backbone": "resnet18"}, "resnet18", "hub"),
        ({"backbone": "resnet18", "weights_file": "w"}, "resnet18", "file"),
        ({"pretrained": "hub"}, LITE, "hub"),
    ],
)
@pytest.mark.parametrize("training", ["frozen", "fine_tuned"])
def test_a_frozen_or_fine_tuned_backbone_is_pretrained(
    training: str, values: dict[str, Any], backbone: str, word: str
) -> None:
    config = ClassifierConfig.model_validate({"training": training, **values})
    assert (config.backbone, config.pretrained) == (backbone, word)
    assert ClassifierConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pretrained": "none"}, "{training} needs pretrained weights; set pretrained to package, hub or file"),
        ({"pretrained": False}, "{training} needs pretrained weights; set pretrained to package, hub or file"),
        ({"backbone": "small_cnn"}, "small_cnn has none; leave backbone out, or name a timm backbone"),
        ({"layer_decay": 0.0}, "greater than 0"),
        ({"frozen_statistics": 1.5}, "less than or equal to 1"),
        ({"warmup": 1.0}, "less than 1"),
        ({"input_size": 8}, "greater than or equal to 16"),
        ({"views": 0}, "greater than or equal to 1"),
    ],
)
@pytest.mark.parametrize("training", ["frozen", "fine_tuned"])
def test_what_cannot_be_frozen_or_fine_tuned(training: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message.format(training=f"training: {training}")):
        ClassifierConfig.model_validate({"training": training, **values})


@pytest.mark.parametrize(("size", "shown"), [(28, 128), (128, 128), (180, 180), (300, 224)])
def test_what_a_pretrained_network_is_shown(size: int, shown: int) -> None:
    for training in ("frozen", "fine_tuned"):
        assert ClassifierConfig(training=training).shown_size(size) == shown
        assert ClassifierConfig(training=training, input_size=96).shown_size(size) == 96
    assert ClassifierConfig().shown_size(size) == size


def test_fine_tuning_refuses_no_arm() -> None:
    config = Config.model_validate({"classifier": {"training": "fine_tuned"}})
    assert config.classifier.narrow(NAMED_ARMS["picked"]) is NAMED_ARMS["picked"]
    assert config.notes_on_candidates() == ()
    assert all(config.classifier.obstacle_to(arm) is None for arm in NAMED_ARMS.values())


def test_the_way_is_read_from_a_file_and_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("data: {source: digits}\nclassifier: {views: 3}\n")
    assert load(str(file)).classifier.training == "scratch"
    config = load(str(file), ["classifier.training=frozen"]).classifier
    assert (config.backbone, config.pretrained, config.views) == (LITE, "package", 3)


def test_an_arm_goes_without_candidates_that_need_a_loop() -> None:
    frozen = Config.model_validate({"classifier": {"training": "frozen"}})
    picked = NAMED_ARMS["picked"]
    assert frozen.classifier.narrow(picked).candidates == ("balanced_softmax", "strong")
    assert frozen.notes_on_candidates() == (
        "picked: not tried: deferred, mixup, cutmix, ensemble; classifier.training: frozen has no training loop",
    )
    assert Config().classifier.narrow(picked) is picked
    assert Config().notes_on_candidates() == ()


def test_true_is_read_for_the_backbone_that_is_there_in_the_end(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text(f"data: {{source: digits}}\nclassifier: {{backbone: {LITE}, pretrained: true}}\n")
    assert load(str(file)).classifier.pretrained == "package"
    assert load(str(file), ["classifier.backbone=resnet18"]).classifier.pretrained == "hub"
    assert load(str(file), ["classifier.pretrained=false"]).classifier.pretrained == "none"


def test_timm_networks_start_at_a_rate_of_their_own():
    assert ClassifierConfig().learning_rate == 6e-3
    assert ClassifierConfig(backbone="resnet18").learning_rate == 2e-3
    assert ClassifierConfig(backbone="resnet18", learning_rate=0.1).learning_rate == 0.1
    assert ClassifierConfig.model_validate(ClassifierConfig().model_dump()).learning_rate == 6e-3


def test_fine_tuning_has_rates_of_its_own() -> None:
    tuned = ClassifierConfig(training="fine_tuned")
    assert tuned.learning_rate < ClassifierConfig(backbone=LITE).learning_rate
    assert tuned.warmup > ClassifierConfig().warmup == ClassifierConfig(backbone=LITE).warmup == 0
    assert ClassifierConfig(training="fine_tuned", backbone=LITE, pretrained=True) == tuned
    given = ClassifierConfig(training="fine_tuned", learning_rate=0.1, warmup=0.0)
    assert (given.learning_rate, given.warmup) == (0.1, 0.0)
    assert ClassifierConfig.model_validate(given.model_dump()) == given
