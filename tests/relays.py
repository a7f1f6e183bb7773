"""A relay before a database that can leave a COPY half on its way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import sqlalchemy as sa


class CopyRelay:
    """Passes on what it is sent until it is told to stall."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._asked = False
        self._stalled = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def before(cls, dsn: str) -> AsyncIterator[tuple[Self, str]]:
        """Serve the database of `dsn`; gives the relay and the DSN that leads through it."""
        url = sa.make_url(dsn)
        relay = cls(url.host or "127.0.0.1", url.port or 5432)
        async with await asyncio.start_server(relay._serve, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            through = url.set(host="127.0.0.1", port=port)
            yield relay, through.render_as_string(hide_password=False)

    async def stall_in_copy(self) -> None:
        """Return when a COPY has begun of which no more than its first 64 KiB will arrive."""
        self._asked = True
        await self._stalled.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(self._host, self._port)
        sending = asyncio.create_task(self._send(reader, forth))
        try:
            with suppress(ConnectionError):
                while data := await back.read(1 << 16):
                    writer.write(data)
                    await writer.drain()
        finally:
            sending.cancel()
            writer.close()
            forth.close()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
            if self._asked and not self._stalled.is_set() and b'COPY "samples"' in data:
                self._stalled.set()
                await asyncio.Event().wait()
        writer.close()
