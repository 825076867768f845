from __future__ import annotations

import pytest

from synaug_core.s3_address import S3Address, s3_address


@pytest.mark.parametrize(
    ("text", "bucket", "key", "name", "is_file"),
    [
        ("s3://bucket", "bucket", "", "bucket", False),
        ("s3://bucket/", "bucket", "", "bucket", False),
        ("s3://bucket/a/b/", "bucket", "a/b", "b", False),
        ("s3://my.bucket-1/sets/Breast.NPZ", "my.bucket-1", "sets/Breast.NPZ", "Breast.NPZ", True),
        ("s3://bucket/train.parquet", "bucket", "train.parquet", "train.parquet", True),
        ("s3://bucket/細胞 ü%20", "bucket", "細胞 ü%20", "細胞 ü%20", False),
    ],
)
def test_addresses(text: str, bucket: str, key: str, name: str, is_file: bool) -> None:
    found = s3_address(text)
    assert found == S3Address(bucket, key)
    assert (found.name, found.is_file) == (name, is_file)
    assert s3_address(str(found)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S3//x", "begins with s3://"),
        ("s3://", "'' is no name of a bucket"),
        ("s3://ab/x", "'ab' is no name of a bucket"),
        ("s3://-abc", "no name of a bucket"),
        ("s3:///key", "no name of a bucket"),
        ("s3://a b c/key", "no name of a bucket"),
        ("s3://AKIA:hunter2@bucket/key", "credentials have no place"),
        ("s3://bucket:9000/key", "credentials have no place"),
        ("s3://bucket/key?X-Amz-Signature=hunter2", r"has no \? and no #"),
        ("s3://bucket/a/../b", "an empty part, . or .. in it"),
        ("s3://bucket/a//b", "an empty part"),
        ("s3://bucket/a\nb", "control characters"),
        ("s3://bucket/" + "k" * 1025, "longer than 1024 bytes"),
    ],
)
def test_what_is_no_address(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        s3_address(text)
    assert "hunter2" not in str(caught.value)
