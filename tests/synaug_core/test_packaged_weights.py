from __future__ import annotations

import importlib.util
import sys

import pytest

from synaug_core.errors import ConfigError
from synaug_core.packaged_weights import PACKAGED, has_package, packaged_weights


def test_the_tag_of_the_weights_makes_no_difference():
    assert packaged_weights("tf_efficientnet_lite0.in1k") is packaged_weights("tf_efficientnet_lite0")
    assert has_package("tf_efficientnet_lite1")


@pytest.mark.parametrize("name", ["efficientnet_lite0", "tf_efficientnet_lite0.other", "resnet18", "None", ""])
def test_other_networks_have_no_package(name):
    assert not has_package(name)
    with pytest.raises(ConfigError, match=r"no package has weights of .*, only of tf_efficientnet_lite0 and") as caught:
        packaged_weights(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PACKAGED)
def test_files_are_located_without_running_the_package(monkeypatch, name):
    packaged = packaged_weights(name)
    monkeypatch.delitem(sys.modules, packaged.module, raising=False)
    path = packaged.locate()
    assert path is not None
    assert path.is_file()
    assert packaged.module not in sys.modules


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert packaged_weights("tf_efficientnet_lite0").locate() is None
