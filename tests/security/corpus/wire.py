"""What comes over the wire: hostile addresses and request bodies."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator

from corpus.cases import Case, Trap


def addresses(rng: random.Random) -> Iterator[Case]:
    texts = [
        "s3://", "s3:///", "s3:///key", "s3://b", "s3://bu/x", "s3://AKIASECRETKEY:verysecret@bucket/x",
        "s3://user@bucket/x", "s3://bucket:9000/x", "s3://bucket/../x", "s3://bucket/./x", "s3://bucket/a//b",
        "s3://bucket/a/../../b", "s3://bucket/%2e%2e/x", "s3://bucket/\x00", "s3://bucket/\n",
        "s3://bucket/" + "a" * 2000, "s3://" + "b" * 300, "s3://bucket?versionId=1", "s3://bucket/x#y", "s3://../x",
        "s3://-b/x", "s3://bücket/x", "s3://169.254.169.254/latest/meta-data", "s3://bucket/\ud800",
        "s3://bucket/\u202e", "S3://bucket/x", "s3:/bucket/x", "s3:bucket", "http://127.0.0.1/",
        "http://user:verysecret@host/", "https://x", "file:///etc/passwd", "file://", "ftp://x", "gs://x/y", "://",
        "://x", "a://b://c", "javascript://x", "data://x", "\x00://x", "s3://bucket/x.npz", "s3://bucket/../x.npz",
        "s3://bucket/~", "s3://bucket/$(touch TRAP)", "s3://bucket/{0}", "s3://bucket/%s", "s3://bucket/;x",
        "s3://bucket/x y", "s3://bucket/\\..\\x", "s3://" + "://" * 99, "s3://bucket/" + "a/" * 500,
        "postgresql://u:verysecret@h/d", "redis://:verysecret@h",
    ]  # fmt: skip
    for n, text in enumerate(texts):
        yield Case("address", f"address-{n}", {}, (text,))


def bodies(rng: random.Random) -> Iterator[Case]:
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\nhello\r\n--b--\r\n'
    kinds = (
        "", "multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary=" + "b" * 500,
        "application/json", "text/html", "image/png", "\x00", "multipart/form-data; boundary=\"",
        "application/json; charset=evil",
    )  # fmt: skip
    contents = (
        b"", b"{}", b"[]", b"[" * 100_000, b'{"images": 3}', b'{"images": [null, {}, []]}', b'{"images": ["%%%"]}',
        b'{"images": [{"name": "../../x", "data": "aGk="}]}', b"--b", b"--b--", b"--b\r\n\r\n", part % b"../../x",
        part % b"\x1b[2J", part % (b"a" * 9000), part[:-5], b"--b\r\n" * 5000, b"--b\r\n" + b"X: y\r\n" * 5000,
        pickle.dumps(Trap()), b'{"images": [' + b'"",' * 5000 + b'""]}',
    )  # fmt: skip
    for n, kind in enumerate(kinds):
        for m, body in enumerate(contents):
            if n in (1, 4) or (n + m) % 5 == 0:
                yield Case("body", f"body-{n}-{m}", {"x": body}, (kind,))
