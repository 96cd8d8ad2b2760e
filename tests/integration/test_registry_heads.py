"""An answer is read as containerd's transport reads it: the same bytes go to both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.proxies import WireOracle
from tests.parts.sight import locate_in_sight
from tests.scripted.server import Talker, answer, serving
from webhook.deadline import Deadline
from webhook.registry.heads import HeadReader, MalformedError, TooLargeError
from webhook.registry.outcome import Cause
from webhook.registry.settings import Egress, RegistrySettings
from webhook.registry.transport import Transport
from webhook.registry.wire import Ask, Reply, Trouble

LOCAL = RegistrySettings(connect=5.0, egress=Egress(local=True))
OK = b"HTTP/1.1 200 OK\r\n"
OLD = b"HTTP/1.0 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"
ANSWERS = {
    "good": OK + b"Content-Length: 2\r\n\r\nhi",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "mixed line ends": b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nhi",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
    "an empty reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi",
    "many spaces": b"HTTP/1.1   200   Fine  \r\nContent-Length: 2\r\n\r\nhi",
    "a reason beyond ASCII": b"HTTP/1.1 200 \xff\xfe\x01\r\nContent-Length: 2\r\n\r\nhi",
    "status 099": b"HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nhi",
    "status 000": b"HTTP/1.1 000 X\r\nContent-Length: 2\r\n\r\nhi",
    "status 600": b"HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nhi",
    "status 999": b"HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nhi",
    "status 20": b"HTTP/1.1 20 X\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 X\r\n\r\n",
    "status -20": b"HTTP/1.1 -20 X\r\n\r\n",
    "status 20x": b"HTTP/1.1 20x X\r\n\r\n",
    "status 200x": b"HTTP/1.1 200x X\r\n\r\n",
    "HTTP/1.0": OLD + b"Content-Length: 2\r\n\r\nhi",
    "HTTP/1.0 that stays": OLD + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.0 in chunks": OLD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/11": b"HTTP/11 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "http/1.1": b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "ICY": b"ICY 200 OK\r\n\r\nhi",
    "an empty line first": b"\r\n" + OK + b"\r\nhi",
    "a space first": b" " + OK + b"\r\nhi",
    "a space in a name": OK + b"Content-Length: 2\r\nX Y: z\r\nX : y\r\n\r\nhi",
    "a length with a space": OK + b"Content-Length : 2\r\n\r\nhi there",
    "a tab in a name": OK + b"X\tY: z\r\n\r\nhi",
    "an empty name": OK + b": z\r\n\r\nhi",
    "no colon": OK + b"X\r\n\r\nhi",
    "a name beyond ASCII": OK + b"X\xc3\xa9: z\r\n\r\nhi",
    "a value beyond ASCII": OK + b"X: caf\xc3\xa9\r\nY: \xff\r\nContent-Length: 2\r\n\r\nhi",
    "a control in a value": OK + b"X: a\x01b\r\n\r\nhi",
    "a NUL in a value": OK + b"X: a\x00b\r\n\r\nhi",
    "a tab in a value": OK + b"X:\ta\tb\t\r\nContent-Length: 2\r\n\r\nhi",
    "a CR in a value": OK + b"X: a\rb\r\n\r\nhi",
    "an empty value": OK + b"X:\r\nY: \r\nContent-Length: 2\r\n\r\nhi",
    "a fold": OK + b"X: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n\r\nhi",
    "a fold of nothing": OK + b"X: a\r\n \r\nContent-Length: 2\r\n\r\nhi",
    "a fold first": OK + b" X: a\r\n\r\nhi",
    "a folded length": OK + b"Content-Length:\r\n 2\r\n\r\nhi",
    "repeated headers": OK + b"X: a\r\nx: b\r\nContent-Length: 2\r\n\r\nhi",
    "two equal lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nhi",
    "a length of nothing": OK + b"Content-Length:\r\n\r\nhi",
    "a signed length": OK + b"Content-Length: +2\r\n\r\nhi",
    "a negative length": OK + b"Content-Length: -2\r\n\r\nhi",
    "a hexadecimal length": OK + b"Content-Length: 0x2\r\n\r\nhi",
    "a length with zeros": OK + b"Content-Length: 0000000000000000000000002\r\n\r\nhi",
    "a huge length": OK + b"Content-Length: 9223372036854775807\r\n\r\nhi",
    "a length past 63 bits": OK + b"Content-Length: 9223372036854775808\r\n\r\nhi",
    "length and chunks": CHUNKED + b"Content-Length: 9\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "a bad length and chunks": CHUNKED + b"Content-Length: x\r\n\r\n0\r\n\r\n",
    "chunks": OK + b"Transfer-Encoding: Chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\nX: y\r\n\r\n",
    "chunks with spaces": CHUNKED + b"\r\n2  \r\nhi\r\n0\r\n\r\n",
    "chunks that are none": CHUNKED + b"\r\nxx\r\nhi\r\n0\r\n\r\n",
    "chunks twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
    "no length": OK + b"\r\nhi",
    "cut": OK + b"Content-Length: 9\r\n\r\nhi",
    "cut at once": OK + b"Content-Length: 9\r\n\r\n",
    "cut in a chunk": CHUNKED + b"\r\n9\r\nhi",
    "cut between chunks": CHUNKED + b"\r\n2\r\nhi\r\n",
    "cut in its head": OK + b"Content-Le",
    "cut in a header's value": OK + b"Content-Type: te",
    "cut behind its first line": OK,
    "cut in its first line": b"HTTP/1.1 20",
    "more than its length": OK + b"Content-Length: 2\r\n\r\nhi there",
    "204 with a body": b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi",
    "304 with a body": b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\nhi",
    "205 with a body": b"HTTP/1.1 205 Reset\r\nContent-Length: 2\r\n\r\nhi",
    "100 before": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
    "102 and 103 before": (
        b"HTTP/1.1 102 P\r\nX: y\r\n\r\nHTTP/1.1 103 E\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    ),
    "199 with a length": b"HTTP/1.1 199 X\r\nContent-Length: 2\r\n\r\n" + OK + b"\r\nhi",
    "100 alone": b"HTTP/1.1 100 Continue\r\n\r\n",
    "100 that is malformed": b"HTTP/1.1 100 Continue\r\nX\r\n\r\n" + OK + b"\r\n",
    "101": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: y\r\n\r\n",
    "headers of 200 KiB": OK + b"X: " + b"a" * 200_000 + b"\r\nContent-Length: 2\r\n\r\nhi",
    "10,000 headers": OK + b"X: a\r\n" * 10_000 + b"Content-Length: 2\r\n\r\nhi",
    "nothing": b"",
    "garbage": b"\x00\xff garbage",
    "another protocol": b"SSH-2.0-OpenSSH_9\r\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def wire(pytestconfig: pytest.Config) -> Iterator[WireOracle]:
    locate_in_sight(pytestconfig, ["proxyoracle"])
    with WireOracle() as running:
        yield running


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(LOCAL)
    yield made
    made.close()


def send(transport: Transport, url: str, method: str = "GET") -> Reply | Trouble:
    return transport.send(Ask(method, url, limit=1_000_000), Deadline.after(5.0))


def seen(got: Reply | Trouble) -> dict[str, object]:
    """What is compared: the answer as containerd's code would see it."""
    if isinstance(got, Trouble):
        assert got.cause is Cause.RESET, got
        return {"error": True}
    headers: dict[str, list[str]] = {}
    for name, value in got.headers:
        headers.setdefault(name, []).append(value)
    return {"status": got.status, "headers": headers, "body": got.body, "cut": got.cut}


def said(answered: dict[str, object]) -> dict[str, object]:
    if answered.get("error"):
        return {"error": True}
    headers = answered.get("headers", {})
    assert isinstance(headers, dict)
    return {
        "status": answered.get("status", 0),
        "headers": {name.lower(): values for name, values in headers.items()},
        "body": str(answered.get("body", "")).encode(),
        "cut": answered.get("cut", False),
    }


def plain(view: dict[str, object]) -> dict[str, object]:
    """Leave out what only tells how the connection goes on, and bytes that JSON cannot hold."""
    headers = view.get("headers")
    if not isinstance(headers, dict):
        return view
    told = {k: v for k, v in headers.items() if k not in ("connection", "cache-control", "y")}
    if told.get("content-length"):
        told["content-length"] = told["content-length"][:1]
    return {**view, "headers": told}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_same_bytes_are_the_same_answer(
    wire: WireOracle, transport: Transport, name: str, method: str
) -> None:
    def talk(one: Talker) -> None:
        one.hear()
        one.say(ANSWERS[name])

    with serving(talk) as server:
        theirs = wire.http(method, server.url())
        ours = send(transport, server.url(), method)
    assert plain(seen(ours)) == plain(said(theirs)), theirs


@pytest.mark.parametrize(
    ("name", "ended"),
    [
        ("nothing", True),
        # Go takes what came of the last line for a whole one, and that has no colon.
        ("cut in its head", False),
        ("cut in a header's value", True),
        ("cut behind its first line", True),
        ("100 alone", True),
        ("garbage", False),
        ("another protocol", False),
        ("two lengths", False),
    ],
)
def test_an_orderly_end_is_told_from_a_malformed_answer(
    transport: Transport, name: str, *, ended: bool
) -> None:
    """``io.EOF`` and ``io.ErrUnexpectedEOF`` are passing troubles, grammar is none."""

    def talk(one: Talker) -> None:
        one.hear()
        one.say(ANSWERS[name])

    with serving(talk) as server:
        got = send(transport, server.url())
        assert server.connections == 1
    assert isinstance(got, Trouble)
    assert got.ended is ended


def test_what_was_not_asked_for_answers_no_other_request(transport: Transport) -> None:
    """A body behind the answer to a HEAD is not taken for the next answer."""
    fake = answer("200 OK", b"fake")

    def talk(one: Talker) -> None:
        while request := one.hear():
            if b"/last" in request:
                one.say(answer("200 OK", b"good"))
            elif b"/chunked" in request:
                one.say(CHUNKED + b"\r\n0\r\n\r\n" + fake)
            elif request.startswith(b"HEAD"):
                one.say(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + fake)
            else:
                one.say(b"HTTP/1.1 404 N\r\nContent-Length: 1\r\n\r\nx" + fake)

    with serving(talk) as server:
        for method, path in (("HEAD", "/"), ("GET", "/"), ("GET", "/chunked")):
            assert isinstance(send(transport, server.url(path), method), Reply)
            last = send(transport, server.url("/last"))
            assert isinstance(last, Trouble) or last.body == b"good"


def test_a_head_that_is_too_large_proves_nothing(transport: Transport) -> None:
    def talk(one: Talker) -> None:
        one.hear()
        one.flood(b"HTTP/1.1 103 E\r\n\r\n" * 1000)

    with serving(talk) as server:
        got = send(transport, server.url())
    assert isinstance(got, Trouble)
    assert got.cause is Cause.OVERLOADED


PIECES = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 100 C", b"\r\n", b"\n", b"\r", b" ", b"X: y", b":", b"a", b"\t",
     b"Content-Length: 3", b"Transfer-Encoding: chunked", b"abc", b"\r\n\r\n"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=12).map(b"".join), st.lists(st.integers(1, 9), max_size=9))
def test_how_the_bytes_are_cut_up_changes_nothing(raw: bytes, cuts: list[int]) -> None:
    """The head of an answer is its bytes, however they arrive."""

    def read(pieces: list[bytes]) -> object:
        reader = HeadReader(b"GET")
        rest = b""
        got = None
        try:
            for piece in pieces:
                if got is not None:
                    rest += piece
                    continue
                got = reader.feed(piece)
        except (MalformedError, TooLargeError) as error:
            return type(error)
        return got and (got[0], got[1] + rest)

    pieces, left = [], raw
    for cut in cuts:
        pieces.append(left[:cut])
        left = left[cut:]
    assert read([raw]) == read([*pieces, left])
