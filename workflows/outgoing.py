"""Asks other people's HTTP servers, on behalf of rules and playbooks: never ours, never for long.

A tenant chooses the URL, so it must lead to no server that only we can reach. Addresses are checked after
names are resolved, and those checked are those connected to; redirects are not followed.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from socket import AddressFamily

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from schemas.errors import Invalid, Temporary
from workflows.addresses import Allowed

_HEADERS = {"User-Agent": "headrace", "Accept-Encoding": "identity"}
"""Whoever compresses all the same gets no further than the limit: nothing is decompressed."""


@dataclass(frozen=True)
class OutgoingPolicy:
    """Where requests may go, and how much of an answer is waited for."""

    allowed: Allowed = field(default_factory=Allowed)
    timeout: float = 10.0
    """Seconds for all of it: the name, the connection, the request, the whole answer."""
    longest_answer: int = 256 * 1024
    """Bytes of its body: room for any API's answer about itself."""


@dataclass(frozen=True)
class OutgoingAnswer:
    """What the other side said, whatever its status but a redirect."""

    status: int
    body: bytes
    retry_after: float | None = None
    """Seconds, where it asked to be left alone for so long."""

    @property
    def text(self) -> str:
        """The body, for people."""
        return self.body.decode("utf-8", "replace")


class Outgoing:
    """An HTTP client that may be given a hostile URL. `tls` trusts other authorities than the system's."""

    def __init__(
        self, policy: OutgoingPolicy = OutgoingPolicy(), *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy = policy
        self._tls = tls

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a limit on each part would let an answer drip for ever
    ) -> OutgoingAnswer:
        """Ask, and return the answer. `timeout`, in seconds, replaces the policy's.

        Raises:
            Invalid: it must not be asked (reasons bad_url, forbidden_address, bad_request), or its
                answer is none to go by (redirect, answer_too_long, bad_answer).
            Temporary: it can't be reached, or does not answer in time.
        """
        at = self._checked(url)
        seconds = self._policy.timeout if timeout is None else timeout
        shown = f"{at.scheme}://{at.host}:{at.port}{at.raw_path}"
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(method, at, {**_HEADERS, **headers}, body)
        except TimeoutError as error:
            raise Temporary(f"{shown} has not answered in full within {seconds:g} s.") from error
        except aiohttp.ClientResponseError as error:
            raise Invalid("bad_answer", f"{shown} does not speak HTTP: {error.message}") from error
        except aiohttp.InvalidURL as error:
            raise Invalid("bad_url", f"{shown} can't be asked: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Temporary(f"{shown} can't be reached: {error}") from error
        except ValueError as error:
            # A line break in a header: it would be a header, or a request, of its own.
            raise Invalid("bad_request", f"{shown} can't be asked: {error}") from error

    def _checked(self, url: str) -> URL:
        """The URL. Raises Invalid for one that is none of http, or that names a forbidden address."""
        try:
            at = URL(url)
        except ValueError as error:
            raise Invalid("bad_url", f"{url[:200]!r} is no URL: {error}") from error
        if at.scheme not in {"http", "https"} or not at.host:
            raise Invalid("bad_url", f"{url[:200]!r} is no URL of http or https.")
        if at.user is not None or at.password is not None:
            raise Invalid("bad_url", "A URL is shown and stored: send credentials in a header.")
        try:
            address = str(ip_address(at.host.partition("%")[0]))
        except ValueError:
            return at  # a name: `_CheckingResolver` sees what it stands for
        self._refuse(at.host, address)
        return at

    def _refuse(self, host: str, address: str) -> None:
        refusal = self._policy.allowed.refusal(host, address)
        if refusal is not None:
            raise Invalid(
                "forbidden_address", f"{refusal}: HEADRACE_OUTGOING_ALLOW has what may be reached."
            )

    async def _ask(
        self, method: str, at: URL, headers: Mapping[str, str], body: bytes | None
    ) -> OutgoingAnswer:
        # All made for this request: nothing of one tenant's servers is left for the next.
        connector = aiohttp.TCPConnector(
            resolver=_CheckingResolver(self), use_dns_cache=False, force_close=True
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as session,
            session.request(
                method,
                at,
                headers=headers,
                data=body,
                allow_redirects=False,
                ssl=self._tls if self._tls is not None else True,
            ) as answer,
        ):
            if 300 <= answer.status < 400:  # noqa: PLR2004 - redirects, by RFC 9110
                target = answer.headers.get("Location", "nowhere")[:200]
                raise Invalid(
                    "redirect", f"{at.host} redirects to {target!r}: redirects are not followed."
                )
            return OutgoingAnswer(
                answer.status,
                await self._body(answer),
                _seconds(answer.headers.get("Retry-After")),
            )

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        kept = bytearray()
        async for piece in answer.content.iter_any():
            kept += piece
            if len(kept) > self._policy.longest_answer:
                raise Invalid(
                    "answer_too_long",
                    f"{answer.url.host} answered {answer.status} with more than "
                    f"{self._policy.longest_answer} bytes: the rest is not read.",
                )
        return bytes(kept)


class _CheckingResolver(AbstractResolver):
    """Resolves a name, and refuses it when any of its addresses is forbidden."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for one in found:
            self._outgoing._refuse(host, one["host"])  # noqa: SLF001 - the one object in two halves
        return found

    async def close(self) -> None:
        await self._inner.close()


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isascii() and header.isdigit() else None
