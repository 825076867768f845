"""A request's body into the bytes of image files. Nothing in it is trusted, and all of it has limits."""

import base64
import binascii
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, MultipartState

from synaug_core.report.words import plain
from synaug_core.serving.errors import RequestError

__all__ = ["Upload", "media_type", "read_body", "uploads"]

_LONGEST_HEADER = 8192
_LONGEST_BOUNDARY = 70
_LONGEST_NAME = 200
_PATIENCE = 4
"""A body of up to so many times the limit is read to its end, and dropped: a client that is still sending would not
see the answer."""


@dataclass(frozen=True, eq=False)
class Upload:
    """One image file: what the client calls it, and its bytes."""

    name: str
    data: bytes


async def read_body(chunks: AsyncIterator[bytes], length: str | None, limit: int) -> bytes:
    """The whole body.

    Args:
        chunks: the body as it comes.
        length: the header Content-Length.
        limit: most bytes.

    Raises:
        RequestError: 413, larger than the limit.
    """
    announced = int(length) if length is not None and length.isascii() and length.isdigit() and len(length) < 19 else 0
    too_large = RequestError(413, f"the request is larger than {limit / 1e6:g} MB")
    if announced > _PATIENCE * limit:
        raise too_large
    blocks, size = [], 0
    async for chunk in chunks:
        size += len(chunk)
        if size > _PATIENCE * limit:
            raise too_large
        if size <= limit:
            blocks.append(chunk)
        else:
            blocks.clear()
    if size > limit:
        raise too_large
    return b"".join(blocks)


def media_type(header: str | None) -> tuple[str, str | None]:
    """The media type in lower case, and its boundary."""
    message = Message()
    message["content-type"] = header or ""
    boundary = message.get_param("boundary")
    kind = message.get_content_type() if header else ""
    return kind, boundary if isinstance(boundary, str) else None


def uploads(header: str | None, body: bytes, most: int) -> list[Upload]:
    """The images of a body: `multipart/form-data` with files, `application/json` with base64, or one image file.

    Args:
        header: Content-Type.
        body: of the request.
        most: images.

    Raises:
        RequestError: 400 a body that is not what it says, 413 too many images, 415 another media type, 422 a body
            without images.
    """
    kind, boundary = media_type(header)
    if kind == "multipart/form-data":
        images = _from_form(body, boundary, most)
    elif kind == "application/json":
        images = list(_from_json(body, most))
    elif kind.startswith("image/") or kind == "application/octet-stream":
        images = [Upload("", body)]
    else:
        content_type = f"Content-Type is {plain(kind, _LONGEST_NAME)}" if kind else "there is no Content-Type"
        raise RequestError(
            415,
            f"{content_type}: send multipart/form-data with image files (curl -F), application/json with base64, or "
            "one image as the body with its type (curl --data-binary @FILE -H 'Content-Type: image/jpeg')",
        )
    if not images or (len(images) == 1 and not images[0].data):
        raise RequestError(422, "there is no image in the request")
    return images


def _from_json(body: bytes, most: int) -> Iterator[Upload]:
    """`{"images": ["<base64>", {"name": "a.png", "data": "<base64>"}]}`."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "the body is no JSON") from error
    images = given.get("images") if isinstance(given, dict) else None
    if not isinstance(images, list):
        raise RequestError(422, 'the JSON must be an object with the list "images"')
    if len(images) > most:
        raise _too_many(most)
    for number, image in enumerate(images):
        named = image if isinstance(image, dict) else {"data": image}
        yield Upload(_name(named.get("name")), _decoded(named.get("data"), number))


def _decoded(value: Any, number: int) -> bytes:
    if not isinstance(value, str):
        raise RequestError(422, f"image {number} (counted from 0): base64 text is expected")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # MIME breaks lines
    except (binascii.Error, ValueError) as error:
        raise RequestError(422, f"image {number} (counted from 0): not base64") from error


def _from_form(body: bytes, boundary: str | None, most: int) -> list[Upload]:
    """The files of a multipart body (RFC 7578), read in one pass."""
    broken = RequestError(400, "the multipart body is damaged or cut off")
    if not boundary or len(boundary) > _LONGEST_BOUNDARY or not boundary.isascii():
        raise RequestError(400, "multipart/form-data needs a boundary of at most 70 characters")
    delimiter = b"\r\n--" + boundary.encode()
    start = 0 if body.startswith(delimiter[2:]) else body.find(delimiter) + 2  # a preamble is passed over
    if start == 1:
        raise broken
    if body.count(delimiter, start) > most:
        raise _too_many(most)
    images: list[Upload] = []
    header, name, blocks = b"", "", list[bytes]()

    def begin_part() -> None:
        nonlocal name
        name = ""
        blocks.clear()

    def read_header(data: bytes, start: int, end: int) -> None:
        nonlocal header
        header = data[start:end].strip().lower()

    def read_value(data: bytes, start: int, end: int) -> None:
        nonlocal name
        if header == b"content-disposition":
            name = _file_name(data[start:end])

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin_part,
            "on_header_field": read_header,
            "on_header_value": read_value,
            "on_part_data": lambda data, start, end: blocks.append(data[start:end]),
            "on_part_end": lambda: images.append(Upload(name, b"".join(blocks))),
        },
        max_header_size=_LONGEST_HEADER,
    )
    try:
        parser.write(body[start:])
    except MultipartParseError as error:
        raise broken from error
    if parser.state != MultipartState.END:
        raise broken
    return images


def _too_many(most: int) -> RequestError:
    return RequestError(413, f"more than {most} images in one request")


def _file_name(disposition: bytes) -> str:
    message = Message()
    message["content-disposition"] = disposition.decode("utf-8", "replace").replace("\r", " ").replace("\n", " ")
    return _name(message.get_filename())


def _name(value: Any) -> str:
    """A client's file name as it may be shown: one printable line."""
    return plain(value, _LONGEST_NAME) if isinstance(value, str) and value.strip() else ""
