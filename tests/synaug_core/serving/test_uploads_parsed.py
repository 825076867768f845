from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.serving.errors import RequestError
from synaug_core.serving.uploads import media_type, read_body, uploads

BOUNDARY = "multipart/form-data; boundary=XX"


def encoded(files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """A multipart body as a well-known client makes it."""
    request = httpx.Request("POST", "http://x/", files=[("images", file) for file in files])
    return request.headers["content-type"], request.read()


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20),
            st.binary(max_size=60),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_a_client_sends_comes_back(files: list[tuple[str, bytes]]):
    if len(files) == 1 and not files[0][1]:
        return
    kind, body = encoded(files)
    assert [u.data for u in uploads(kind, body, 10)] == [data for _, data in files]


def test_names_are_kept_as_one_printable_line():
    kind, body = encoded([("a b.png", b"x"), ("ä.png", b"y"), ("../../etc/passwd", b"z"), ("n" * 500, b"z")])
    names = [u.name for u in uploads(kind, body, 10)]
    assert names[:3] == ["a b.png", "ä.png", "../../etc/passwd"]  # only ever shown
    assert len(names[3]) == 200
    body = b'--XX\r\nContent-Disposition: form-data; filename="a\x1b[31m\x00b"\r\n\r\nx\r\n--XX--\r\n'
    assert uploads(BOUNDARY, body, 1)[0].name == "a [31m b"


def test_parts_may_hold_what_looks_like_a_boundary():
    data = b"\r\n--X\r\n--\r\n\r\nXX--\r\n"
    body = b"preamble\r\n--XX\r\n\r\n" + data + b"\r\n--XX\r\nA: b\r\n\r\n\r\n--XX--epilogue"
    assert [u.data for u in uploads(BOUNDARY, body, 5)] == [data, b""]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        b"--XX",
        b"--XX\r\n",
        b"--XX\r\nA: b\r\n\r\n",
        b"--XX\r\nA: b\r\n\r\nabc",
        b"--XX\r\nA: b\r\n\r\nabc\r\n--X",
        b"--XXgarbage\r\n\r\nabc\r\n--XX--",
        b"--XX\r\nA: b\r\nabc\r\n--XX--",
        b"--XX\r\n" + b"A: b\r\n" * 5000 + b"\r\nabc\r\n--XX--",
        b"--YY\r\n\r\nabc\r\n--YY--",
    ],
)
def test_damaged_multipart_is_refused(body: bytes):
    with pytest.raises(RequestError, match="damaged or cut off") as caught:
        uploads(BOUNDARY, body, 5)
    assert caught.value.status == 400


def outcome(kind: str, body: bytes) -> tuple[int, str]:
    try:
        return 200, f"{len(uploads(kind, body, 5))} images"
    except RequestError as refused:
        return refused.status, str(refused)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_a_refusal(body: bytes):
    for kind in (BOUNDARY, "application/json", "image/png", "multipart/form-data", "multipart/form-data; boundary="):
        for whole in (body, b"--XX\r\n" + body, b"--XX\r\n\r\n" + body + b"\r\n--XX--", b'{"images": [' + body + b"]}"):
            status, line = outcome(kind, whole)
            assert status in (200, 400, 413, 415, 422)
            assert len(line.splitlines()) == 1


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "x" * 71, "; boundary=ä", "; boundary*0=a"])
def test_boundaries_that_are_none(boundary: str):
    with pytest.raises(RequestError) as caught:
        uploads(f"multipart/form-data{boundary}", b"--x--", 5)
    assert caught.value.status == 400


def test_ten_thousand_files_are_not_read():
    body = b"".join(b"--XX\r\nA: b\r\n\r\nx\r\n" for _ in range(10_000)) + b"--XX--"
    with pytest.raises(RequestError, match="more than 128 images") as caught:
        uploads(BOUNDARY, body, 128)
    assert caught.value.status == 413
    with pytest.raises(RequestError, match="more than 3 images"):
        uploads("application/json", json.dumps({"images": [""] * 4}).encode(), 3)


def test_json_in_its_forms():
    text = base64.b64encode(b"picture").decode()
    body = json.dumps({"images": [text, {"name": "a.png", "data": text}, f"data:image/png;base64,{text}"]}).encode()
    found = uploads("application/json; charset=utf-8", body, 5)
    assert [(u.name, u.data) for u in found] == [("", b"picture"), ("a.png", b"picture"), ("", b"picture")]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_base64_may_have_line_breaks(ending: str):
    data = bytes(range(256))
    text = base64.encodebytes(data).decode().replace("\n", ending)
    assert len(text.split()) > 1
    for form in (text, f"data:image/png;base64,{text}"):
        assert uploads("application/json", json.dumps({"images": [form]}).encode(), 1)[0].data == data


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"no json", 400, "no JSON"),
        (b"\xff\xfe", 400, "no JSON"),
        (b"[" * 100_000, 400, "no JSON"),
        (b"1" * 10_000, 400, "no JSON"),
        (b"[]", 422, '"images"'),
        (b'{"images": "abc"}', 422, '"images"'),
        (b'{"images": []}', 422, "no image"),
        (b'{"images": [""]}', 422, "no image"),
        (b'{"images": ["", 5]}', 422, "image 1 .*base64 text"),
        (b'{"images": [{"name": "a"}]}', 422, "image 0 .*base64 text"),
        (b'{"images": ["@@@@"]}', 422, "image 0 .*not base64"),
        ('{"images": ["ä"]}'.encode(), 422, "image 0 .*not base64"),
        (b'{"images": [{"name": [1], "data": "eA"}]}', 422, "not base64"),
    ],
)
def test_json_that_is_not_asked_for(body: bytes, status: int, words: str):
    with pytest.raises(RequestError, match=words) as caught:
        uploads("application/json", body, 5)
    assert caught.value.status == status


def test_media_types():
    assert media_type('Multipart/Form-Data; boundary="a b"') == ("multipart/form-data", "a b")
    assert uploads("image/webp", b"x", 1)[0].data == b"x"
    assert uploads("application/octet-stream", b"x", 1)[0].data == b"x"
    for kind in (None, "", "text/plain", "application/x-www-form-urlencoded", "image", "\x00"):
        with pytest.raises(RequestError) as caught:
            uploads(kind, b"x", 1)
        assert caught.value.status == 415
        assert "-H 'Content-Type: image/jpeg'" in str(caught.value)
    with pytest.raises(RequestError, match=r"^Content-Type is application/x-www-form-urlencoded: send"):
        uploads("application/x-www-form-urlencoded", b"x", 1)
    with pytest.raises(RequestError, match=r"^there is no Content-Type: send"):
        uploads(None, b"x", 1)
    with pytest.raises(RequestError, match="no image"):
        uploads("image/png", b"", 1)


def body_of(chunks: list[bytes], length: str | None, limit: int) -> tuple[bytes | int, int]:
    """The body or the status, and how many chunks were read."""
    read = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal read
        for chunk in chunks:
            read += 1
            yield chunk

    try:
        return asyncio.run(read_body(source(), length, limit)), read
    except RequestError as refused:
        return refused.status, read


def test_a_body_is_read_up_to_its_limit():
    assert body_of([b"ab", b"cd"], "4", 4) == (b"abcd", 2)
    assert body_of([b"ab", b"cd"], None, 4) == (b"abcd", 2)
    assert body_of([b"ab"], "nonsense", 4) == (b"ab", 1)
    assert body_of([b"abc", b"de"], "5", 4) == (413, 2)  # read to the end, so that the client sees the answer
    assert body_of([b"a"] * 100, None, 4) == (413, 17)  # but not for ever
    assert body_of([b"a"] * 100, "100", 4) == (413, 0)
