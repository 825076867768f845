from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synaug_core.config import ClassifierConfig
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
