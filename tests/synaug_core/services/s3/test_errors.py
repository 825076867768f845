"""What the user is told where an address cannot be mirrored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synaug_core.errors import UserError
from synaug_core.services.s3.mirror import bucket_fingerprint, mirrored
from synaug_core.services.settings import Settings, settings
from tests.synaug_core.services.s3.pets import mirror


class TestErrors:
    def said(self, address: str) -> str:
        for call in (
            lambda: bucket_fingerprint(address, settings()),
            lambda: mirrored(address, settings()).__enter__(),
        ):
            with pytest.raises(UserError) as caught:
                call()
        text = str(caught.value)
        assert "\n" not in text
        assert "an-S3-secret" not in text
        return text

    @pytest.fixture(autouse=True)
    def _impatient(self, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_RETRY_MODE", "standard")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    def test_no_such_bucket(self, s3_server: Any) -> None:
        place = f"s3://no-such-bucket/x at {s3_server.endpoint}"
        assert self.said("s3://no-such-bucket/x") == f"there is no bucket 'no-such-bucket' for {place}"

    def test_nothing_there(self, bucket: Any) -> None:
        bucket.put("pets/", b"")
        assert self.said(bucket.at("pets")) == f"{bucket.at('pets')} has no objects"
        assert self.said(bucket.at("set.npz")) == f"{bucket.at('set.npz')} has no objects"
        bucket.put("images.zip", b"PK")
        assert "is one object; give a prefix" in self.said(bucket.at("images.zip"))

    @pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
    def test_wrong_credentials(self, bucket: Any, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        monkeypatch.setenv(variable, "hunter2-hunter2")
        text = self.said(bucket.at("pets"))
        assert text.startswith(f"no access to {bucket.at('pets')} at http://127.0.0.1")
        assert "(SignatureDoesNotMatch)" in text
        assert "hunter2" not in text

    def test_somebody_else_s_bucket(self, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger:bob")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "bobs-own-secret")
        assert "bobs-own-secret" not in self.said(bucket.at("pets"))

    def test_no_credentials(self, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert self.said(bucket.at("pets")).endswith(
            "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        assert "cannot be read: ProfileNotFound" in self.said(bucket.at("pets"))

    def test_credentials_from_a_profile(self, filled: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL"):
            monkeypatch.delenv(name)
        server = filled.server
        keys = f"aws_access_key_id = {server.access}\naws_secret_access_key = {server.secret}\n"
        (tmp_path / "credentials").write_text(f"[ours]\n{keys}endpoint_url = {server.endpoint}\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_PROFILE", "ours")
        assert mirror(filled).objects == 5

    def test_nobody_answers(self, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://me:hunter2@127.0.0.1:9")
        text = self.said(bucket.at("pets"))
        assert "at http://127.0.0.1:9: the server does not answer; check AWS_ENDPOINT_URL_S3" in text
        assert "hunter2" not in text
