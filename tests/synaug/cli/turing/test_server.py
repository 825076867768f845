"""The server as other programs see it: what it shows, what it takes, and what it refuses."""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from synaug.cli.turing.server import Sitting, TuringServer
from synaug_core.turing.answers import AnswerLog, Header, read
from synaug_core.turing.design import Design, Item, order

ITEMS = tuple(Item(f"secret id {i}", "</script><b>", i % 2 == 0, i) for i in range(8))
DESIGN = Design(ITEMS, 0, 0)


@dataclass
class Client:
    """Speaks to one running server."""

    server: TuringServer
    path: Path
    finished: list[str]

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.address[1], timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def post(self, path: str, body: Any, **changes: str | None) -> tuple[int, Any]:
        headers = {"X-Synaug-Token": self.server.token, "Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in changes.items()
        }
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, text, _ = self.ask("POST", path, data, **{k: v for k, v in headers.items() if v is not None})
        return status, json.loads(text)

    def start(self, rater: str = "Ann") -> Any:
        return self.post("/start", {"rater": rater})[1]

    def say(self, state: Any, synthetic: bool = True, seconds: Any = 1.0) -> Any:
        asked = {"rater": state["rater"], "image": state["image"], "synthetic": synthetic, "seconds": seconds}
        return self.post("/answer", asked)[1]


def pixels(item: Item) -> Any:
    import torch

    return torch.full((3, 6, 6), 10 * item.row, dtype=torch.uint8)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    path, finished = tmp_path / "a.jsonl", list[str]()
    with AnswerLog(path, Header(images=8, seed=0, digest=DESIGN.digest)) as log:
        sitting = Sitting(DESIGN, pixels, log, finished.append)
        with TuringServer(sitting, name="<i>cells</i>", rater="") as server:
            yield Client(server, path, finished)


def test_the_page_holds_no_answer(client: Client) -> None:
    status, body, headers = client.ask("GET", "/")
    page = body.decode()
    assert status == 200
    assert "secret" not in page
    assert "&lt;i&gt;cells" in page
    assert "http://" not in page.replace("http://127", "")
    nonce = re.search(r"script-src 'nonce-([^']+)'", headers["Content-Security-Policy"])
    assert nonce is not None
    assert page.count(f'nonce="{nonce[1]}"') == 2
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "Python" not in headers["Server"]
    assert client.ask("GET", "/")[1] != body  # another nonce each time


def test_images_come_one_by_one_and_tell_nothing(client: Client) -> None:
    state, seen = client.start(), []
    for number, item in enumerate(order(DESIGN, "Ann")):
        assert (state["done"], state["total"]) == (number, 8)
        assert set(state) == {"rater", "done", "total", "result", "class", "image"}
        assert "secret" not in json.dumps(state)
        status, data, headers = client.ask("GET", f"/image/{state['image']}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        picture = Image.open(io.BytesIO(data))
        assert picture.info == {}
        assert picture.getpixel((0, 0)) == (10 * item,) * 3
        seen.append(state["image"])
        state = client.say(state, seconds=number)
    assert len(set(seen)) == 8
    assert state["result"]["sentence"].startswith("You told real and synthetic images apart in 50 % of cases")
    assert dict(state["result"]["figures"])["Right"] == "4 of 8"
    assert client.finished == ["Ann"]
    assert [a.item for a in read(client.path).answers] == list(order(DESIGN, "Ann"))
    assert [a.seconds for a in read(client.path).answers] == list(range(8))


def test_who_comes_back_goes_on(client: Client) -> None:
    state = client.start("  Ann   Lee ")
    assert state["rater"] == "Ann Lee"
    second = client.say(state)
    assert client.start("ANN LEE") == second
    assert client.start("Bo")["done"] == 0
    assert client.say(state) == second  # sent twice
    assert len(read(client.path).answers) == 1


def test_undo(client: Client) -> None:
    first = client.start()
    second = client.say(first)
    asked = {"rater": "Ann", "image": second["image"]}
    assert client.post("/undo", asked) == (200, first)
    assert client.post("/undo", asked) == (200, first)  # sent twice
    assert client.post("/undo", {"rater": "Ann", "image": first["image"]}) == (200, first)  # nothing before it
    state = client.say(first, synthetic=False)
    assert [a.said_synthetic for a in read(client.path).answers] == [False]
    while not state["result"]:
        last, state = state, client.say(state)
    assert client.post("/undo", {"rater": "Ann", "image": last["image"]})[0] == 409


def test_raters_answer_at_once(client: Client) -> None:
    def rate(name: str) -> None:
        state = client.start(name)
        while not state["result"]:
            state = client.say(state, synthetic=len(name) % 2 == 0)

    names = ["Ann", "Zoë", "日本", "O'Neil <b>", "../../etc/passwd", "x" * 60]
    threads = [threading.Thread(target=rate, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = read(client.path).answers
    assert sorted(client.finished) == sorted(names)
    assert {name: len({a.item for a in answers if a.rater == name}) for name in names} == dict.fromkeys(names, 8)
    assert sorted(p.name for p in client.path.parent.iterdir()) == ["a.jsonl"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\x00b", "a\x1b[2J", "\ud800", "‮abc", None, 7, ["Ann"]])
def test_names_that_cannot_be_used(client: Client, name: Any) -> None:
    status, told = client.post("/start", {"rater": name})
    assert status == 400
    assert "name" in told["error"]


def test_another_site_cannot_answer(client: Client) -> None:
    state = client.start()
    body = {"rater": "Ann", "image": state["image"], "synthetic": True, "seconds": 1}
    port = client.server.address[1]
    for changes, status in [
        ({"X_Synaug_Token": None}, 403),
        ({"X_Synaug_Token": "wrong"}, 403),
        ({"X_Synaug_Token": "\xe9"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"https://127.0.0.1:{port}"}, 403),
        ({"Origin": f"http://127.0.0.1:{port + 1}"}, 403),
        ({"Host": f"evil.example:{port}"}, 421),
        ({"Host": f"127.0.0.1.evil.example:{port}"}, 421),
        ({"Host": "["}, 421),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ]:
        found, told = client.post("/answer", body, **changes)  # type: ignore[arg-type]
        assert (found, list(told)) == (status, ["error"]), changes
    assert client.ask("GET", "/", Host="evil.example")[0] == 421
    assert read(client.path).answers == []
    for host in (f"localhost:{port}", "127.0.0.1:9000", "[::1]:80"):  # a tunnel's
        assert client.post("/answer", body, Host=host, Origin=f"http://{host}")[0] == 200


def test_bodies_that_are_not_the_pages(client: Client) -> None:
    state = client.start()
    good = {"rater": "Ann", "image": state["image"], "synthetic": True, "seconds": 1}
    for body, status in [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 4000, 400),
        (b"[]", 400),
        (good | {"synthetic": "yes"}, 400),
        (good | {"synthetic": None}, 400),
        (good | {"seconds": -1}, 400),
        (good | {"seconds": float("nan")}, 400),
        (good | {"seconds": float("inf")}, 400),
        (good | {"seconds": True}, 400),
        (good | {"seconds": "1"}, 400),
        (good | {"image": "wrong"}, 409),
        (good | {"image": ["x"]}, 409),
        (good | {"rater": "Bo"}, 409),  # somebody else's image
        (b" " * 5000, 413),
    ]:
        found, told = client.post("/answer", body)
        assert (found, list(told)) == (status, ["error"]), body
    assert read(client.path).answers == []
    assert client.say(state, seconds=10**400)["done"] == 1
    assert read(client.path).answers[0].seconds == 3600


@pytest.mark.parametrize(
    ("length", "status"), [(None, 411), ("5000", 413), ("-1", 400), ("abc", 400), ("9" * 30, 400), ("٣", 400)]
)
def test_lengths_that_are_none(client: Client, length: str | None, status: int) -> None:
    head = f"POST /start HTTP/1.0\r\nHost: 127.0.0.1\r\nX-Synaug-Token: {client.server.token}\r\n"
    head += "Content-Type: application/json\r\n" + (f"Content-Length: {length}\r\n" if length else "") + "\r\n"
    with socket.create_connection(("127.0.0.1", client.server.address[1]), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/image/",
        "/image/../a.jsonl",
        "/image/%2e%2e/a.jsonl",
        "//etc/passwd",
        "/../../etc/passwd",
        "/x?y=/",
    ],
)
def test_there_are_no_other_pages(client: Client, path: str) -> None:
    status, body, _ = client.ask("GET", path)
    assert status == 404
    assert b"secret" not in body
    assert client.post(path, {})[0] == 404


def test_other_methods(client: Client) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "HEAD"):
        assert client.ask(method, "/")[0] == 501


def test_a_full_disk_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    state = client.start()

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("synaug_core.turing.answers.os.fsync", full)
        status, told = client.post(
            "/answer", {"rater": "Ann", "image": state["image"], "synthetic": True, "seconds": 1}
        )
    assert status == 500
    assert told["error"] == "The answer could not be stored (no space left on device). Please try again."
    assert client.start()["done"] == 0
    assert client.say(state)["done"] == 1


def test_it_listens_on_this_machine_only(client: Client) -> None:
    assert client.server.address[0] == "127.0.0.1"
