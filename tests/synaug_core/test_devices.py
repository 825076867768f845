"""In which precision a classifier is trained."""

from __future__ import annotations

import pytest
import torch

from synaug_core.devices import autocast, resolve, resolve_precision
from synaug_core.errors import ConfigError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("amx", "bf16", "onednn", "expected"),
    [
        (True, False, True, torch.bfloat16),
        (False, True, True, torch.bfloat16),
        (False, False, True, torch.float32),
        (True, True, False, torch.float32),
    ],
)
def test_auto_is_bfloat16_where_the_cpu_multiplies_in_it(monkeypatch, amx, bf16, onednn, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    assert resolve_precision("auto", CPU) == expected
    assert resolve_precision("float32", CPU) == torch.float32
    assert resolve_precision("bfloat16", CPU) == torch.bfloat16


def test_a_gpu_trains_in_bfloat16_unless_told_otherwise():
    assert resolve_precision("auto", GPU) == torch.bfloat16
    assert resolve_precision("float32", GPU) == torch.float32


def test_products_are_computed_in_it_and_nothing_else_changes():
    a, b = torch.randn(4, 4), torch.randn(4, 4)
    with autocast(CPU, torch.bfloat16):
        assert (a @ b).dtype == torch.bfloat16
    with autocast(CPU, torch.float32):
        assert torch.equal(a @ b, a @ b)
        assert (a @ b).dtype == torch.float32
    assert (a @ b).dtype == torch.float32


@pytest.mark.parametrize("name", ["mps", "meta", "xla:0", "hip"])
def test_devices_that_nothing_was_tried_on_are_refused(name):
    with pytest.raises(ConfigError, match=f"compute.device: '{name}' is not supported; use auto, cpu or cuda"):
        resolve(name)


def test_a_gpu_beyond_those_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve("cuda:0").index == 0
    with pytest.raises(ConfigError, match=r"compute.device: 'cuda:1' was asked for, and this machine has 1"):
        resolve("cuda:1")
