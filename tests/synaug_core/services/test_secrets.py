from __future__ import annotations

import pytest

from synaug_core.services.secrets import first_line, redacted


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hunter2@host:5432/db",
        "could not connect to https://:hunter2@host/path now",
        "https://me:hunter2@x@host/",
        "password=hunter2",
        'AWS_SECRET_ACCESS_KEY: "hunter2"',
        "{'token': 'hunter2'}",
        "https://host/key?X-Amz-Signature=hunter2&x=1",
        "Authorization: Bearer hunter2hunter2",
    ],
)
def test_secrets_go(text: str):
    assert "hunter2" not in redacted(text)


@pytest.mark.parametrize("text", ["s3://bucket/key", "at 12:30 me@example.com wrote", "tokens per class: 3", "a/b:c"])
def test_the_rest_stays(text: str):
    assert redacted(text) == text


def test_an_error_is_one_line():
    assert first_line(ValueError("bad\nworse")) == "ValueError: bad"
    assert (
        first_line(ValueError("these went wrong:\n##### File x #####\none\ntwo")) == "ValueError: these went wrong: one"
    )
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert "hunter2" not in first_line(OSError("postgresql://me:hunter2@host refused"))
