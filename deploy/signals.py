"""Waits for the signal to stop, once for every process."""

import asyncio
import signal


async def until_stopped() -> None:
    """Return at the first SIGTERM or SIGINT; later ones are ignored while the process flushes."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
