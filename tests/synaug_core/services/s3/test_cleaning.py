from __future__ import annotations

import pytest

from synaug_core.errors import DataError
from synaug_core.s3_address import s3_address
from synaug_core.services.s3.client import listed, s3_client
from synaug_core.services.s3.objects import object_names
from synaug_core.services.settings import settings
from tests.s3.fixtures import Bucket


def test_names_are_those_below_the_place_and_none_is_no_error(bucket: Bucket) -> None:
    for key in ("results/a", "results/deep/b", "results/", "result", "one"):
        bucket.put(key, b"" if key.endswith("/") else b"x")
    assert object_names(bucket.at("results"), settings()) == ["a", "deep/b"]
    assert object_names(bucket.at("nothing"), settings()) == []
    assert object_names(bucket.at("one"), settings()) == []  # itself is not below it


def test_who_asks_for_images_is_told_what_is_there_instead(bucket: Bucket) -> None:
    bucket.put("one")
    client = s3_client(settings())
    with pytest.raises(DataError, match="one is one object; give a prefix"):
        listed(client, s3_address(bucket.at("one")))
    with pytest.raises(DataError, match="nothing has no objects"):
        listed(client, s3_address(bucket.at("nothing")))


def test_a_bucket_that_is_not_there_is_said(bucket: Bucket) -> None:
    with pytest.raises(DataError, match="there is no bucket 'no-such-bucket'"):
        object_names("s3://no-such-bucket/results", settings())
