"""Requests to servers that somebody else chose: hostile URLs and hostile answers, on real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from schemas.errors import Invalid, Permanent, Temporary
from workflows.addresses import Allowed
from workflows.outgoing import Outgoing, OutgoingPolicy

LOCAL = OutgoingPolicy(Allowed.parse("127.0.0.0/8"), timeout=5)
Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server of raw bytes, its URL, and the heads of the requests that it got."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await talk(heads[-1], writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", heads
    finally:
        listening.close()


def says(text: bytes) -> Talk:
    async def talk(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return talk


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", "127.1", "2130706433", "0x7f.0.0.1",  # noqa: S104 - asked, not listened at
        "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "10.0.0.1", "172.16.3.4", "192.168.0.1",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "127.0.0.1.", "LOCALHOST",
    ],
)  # fmt: skip
async def test_what_only_we_can_reach_is_refused(host: str) -> None:
    """Loopback, link-local, private and metadata addresses, however they are written."""
    async with server(says(OK)) as (url, heads):
        port = url.rpartition(":")[2]
        with pytest.raises((Invalid, Temporary)) as refused:
            await Outgoing(replace(LOCAL, allowed=Allowed())).request(
                "GET", f"http://{host}:{port}/"
            )
    assert heads == []
    # A number that no resolver takes for an address is a name that does not exist.
    if isinstance(refused.value, Invalid):
        assert refused.value.reason in {"forbidden_address", "bad_url"}


async def test_a_refusal_says_where_it_leads_and_what_to_do() -> None:
    """Whoever wrote the URL learns what is wrong with it."""
    with pytest.raises(
        Invalid, match=r"localhost is at (127\.0\.0\.1|::1), which is this machine itself.*ALLOW"
    ):
        await Outgoing().request("GET", "http://localhost:1/")


async def test_settings_allow_hosts_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name or by address; proxies of the environment are not asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with server(says(OK)) as (url, heads):
        port = url.rpartition(":")[2]
        by_name = replace(LOCAL, allowed=Allowed.parse("localhost, other.example"))
        answer = await Outgoing(by_name).request(
            "POST", f"http://localhost:{port}/a?b=c", headers={"X-Y": "z"}, body=b"{}"
        )
        assert (answer.status, answer.text) == (200, "hi")
        with pytest.raises(Invalid, match="this machine"):
            await Outgoing(by_name).request("GET", url)
        assert (await Outgoing(LOCAL).request("GET", url)).body == b"hi"
    assert heads[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert b"X-Y: z\r\n" in heads[0]
    assert len(heads) == 2


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "http://a", "a b", "300.1.1.1", "*"])
def test_a_wrong_setting_stops_the_process(text: str) -> None:
    """It is not taken for the name of a host that nobody has."""
    with pytest.raises(Permanent, match="neither a host name nor a network"):
        Allowed.parse(text)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "bad_url"),
        ("gopher://127.0.0.1/", "bad_url"),
        ("//127.0.0.1/", "bad_url"),
        ("http://", "bad_url"),
        ("http://a:b@example.com/", "bad_url"),
        ("http://[::1", "bad_url"),
        ("http://127.0.0.1:99999/", "bad_url"),
        ("x" * 1_000_000, "bad_url"),
    ],
)
async def test_what_is_no_url_of_http_is_refused(url: str, reason: str) -> None:
    """Each with words short enough to show."""
    with pytest.raises(Invalid) as refused:
        await Outgoing(LOCAL).request("GET", url)
    assert refused.value.reason == reason
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "target", [b"http://127.0.0.1:1/", b"http://169.254.169.254/latest/meta-data/", b"/other"]
)
async def test_redirects_are_not_followed(target: bytes) -> None:
    """To metadata, to loopback, to anywhere: one request, and an error that names the target."""
    answer = b"HTTP/1.1 307 T\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n"
    async with server(says(answer)) as (url, heads):
        with pytest.raises(Invalid, match="not followed") as refused:
            await Outgoing(LOCAL).request("POST", url, body=b"secret")
    assert (refused.value.reason, len(heads)) == ("redirect", 1)
    assert target.decode() in str(refused.value)


async def test_an_answer_without_end_is_read_up_to_the_limit() -> None:
    """The server may go on for ever, plain or chunked: it is hung up on."""
    sent = 0

    async def endless(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        chunked = b"GET /chunked" in head
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 10737418240"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        while True:
            writer.write((b"10000\r\n" if chunked else b"") + b"x" * 65536 + b"\r\n" * chunked)
            sent += 65536
            await writer.drain()

    async with server(endless) as (url, _):
        for path in ("/plain", "/chunked"):
            with pytest.raises(Invalid, match="answered 200 with more than 262144 bytes"):
                await Outgoing(LOCAL).request("GET", url + path)
    assert sent < 64 * 1024 * 1024


async def test_a_compressed_answer_is_not_unpacked() -> None:
    """A bomb of a few bytes stays a few bytes."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbomb"
    async with server(says(answer)) as (url, _):
        assert (await Outgoing(LOCAL).request("GET", url)).body == b"bomb"


@pytest.mark.parametrize("dripping", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1]])
async def test_a_server_that_hangs_is_given_up(dripping: bytes) -> None:
    """Before, in the middle of or after its headers."""

    async def hang(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(dripping)
        await asyncio.sleep(60)

    async with server(hang) as (url, _):
        with pytest.raises(Temporary, match=r"has not answered in full within 0\.2 s"):
            await Outgoing(LOCAL).request("GET", url, timeout=0.2)


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    ],
)
async def test_what_is_no_http_is_an_error(answer: bytes) -> None:
    """Or headers that would fill the memory."""
    async with server(says(answer)) as (url, _):
        with pytest.raises(Invalid) as refused:
            await Outgoing(LOCAL).request("GET", url)
    assert refused.value.reason == "bad_answer"


async def test_a_line_break_in_a_header_makes_no_second_header() -> None:
    """A label's value can't smuggle in a request of its own."""
    async with server(says(OK)) as (url, heads):
        with pytest.raises(Invalid) as refused:
            await Outgoing(LOCAL).request("GET", url, headers={"X": "a\r\nHost: evil"})
        with pytest.raises(Invalid):
            await Outgoing(LOCAL).request("GET / HTTP/1.1\r\nA: b\r\n\r\nGET", url)
    assert (refused.value.reason, heads) == ("bad_request", [])


async def test_an_error_status_is_an_answer() -> None:
    """The caller decides what it means; it hears when to come again."""
    answer = b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    async with server(says(answer)) as (url, _):
        found = await Outgoing(LOCAL).request("GET", url)
    assert (found.status, found.retry_after) == (503, 7.0)


async def test_a_server_that_is_away_may_come_back() -> None:
    """Nobody listens: try again."""
    with pytest.raises(Temporary, match="can't be reached"):
        await Outgoing(LOCAL).request("GET", "http://127.0.0.1:1/")
    with pytest.raises(Temporary, match="can't be reached"):
        await Outgoing(LOCAL).request("GET", "http://no.such.host.invalid/")
