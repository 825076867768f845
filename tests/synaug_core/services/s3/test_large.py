"""Objects that are fetched in parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synaug_core.errors import ArtifactError
from synaug_core.services.s3 import download as downloading
from synaug_core.services.s3 import mirror as mirroring
from synaug_core.services.settings import Settings
from tests.synaug_core.services.s3.pets import mirror


class TestLarge:
    @pytest.fixture
    def big(self, bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., bytes]:
        """Uploads 6 MiB in parts of 5 MiB or as told."""
        monkeypatch.setattr(downloading, "LARGE", 4 * 2**20)
        monkeypatch.setattr(mirroring, "LARGE", 4 * 2**20)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)

        def upload(part: int = 5 * 2**20, size: int = 6 * 2**20) -> bytes:
            from boto3.s3.transfer import TransferConfig

            data = np.random.default_rng(0).bytes(size)
            (tmp_path / "big").write_bytes(data)
            config = TransferConfig(multipart_threshold=5 * 2**20, multipart_chunksize=part)
            bucket.client.upload_file(str(tmp_path / "big"), bucket.name, "sets/big.npz", Config=config)
            return data

        return upload

    @pytest.mark.parametrize("part", [5 * 2**20, 5 * 2**20 + 12345])
    def test_fetched_in_parts_and_verified(self, bucket: Any, here: Settings, big: Any, faults: Any, part: int) -> None:
        data = big(part)
        assert mirror(bucket, "sets/big.npz").path.read_bytes() == data
        assert len(faults.reads("big.npz")) > 2

    def test_in_one_upload(self, bucket: Any, here: Settings, big: Any) -> None:
        data = big(size=4 * 2**20 + 1)
        assert "-" not in bucket.client.head_object(Bucket=bucket.name, Key="sets/big.npz")["ETag"]
        assert mirror(bucket, "sets/big.npz").path.read_bytes() == data

    @pytest.mark.parametrize("part", [5 * 2**20, 5 * 2**20 + 12345])
    def test_a_flipped_bit_is_noticed(self, bucket: Any, here: Settings, big: Any, faults: Any, part: int) -> None:
        data = big(part)
        faults.add("corrupt", times=1, to="big.npz")
        assert mirror(bucket, "sets/big.npz").path.read_bytes() == data
        assert not any(f.times for f in faults.plan)
        faults.add("corrupt", times=99, to="big.npz")
        bucket.put("sets/big.npz", b"x" * (5 * 2**20))
        with pytest.raises(ArtifactError, match="wrong bytes"):
            mirror(bucket, "sets/big.npz")

    def test_a_cut_part_is_fetched_again(self, bucket: Any, here: Settings, big: Any, faults: Any) -> None:
        data = big()
        faults.add("cut", times=2, to="big.npz")
        faults.add("503", times=1, to="big.npz")
        assert mirror(bucket, "sets/big.npz").path.read_bytes() == data
        assert not any(f.times for f in faults.plan)
