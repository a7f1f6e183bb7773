"""Puts planted samples into every shape that storage keeps them in: rolled up, sketched, compressed."""

from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.lifecycle.ports import Lifecycle
from sinks.lifecycle.postgresql import PostgresLifecycle
from sinks.lifecycle.timescaledb import TimescaleLifecycle
from tests.sites import NOW

_LEVELS = ("samples_1m", "samples_5m", "samples_1h")


async def settle(dsn: str) -> None:
    """Store rollups and sketches of what is there, and compress a chunk of each kind."""
    async with await connect_pool(dsn, role="headrace_owner", application="test") as pool:
        compressing = await pool.fetchval("SELECT mode FROM storage") == "timescaledb"
        lifecycle: Lifecycle
        if compressing:
            lifecycle = TimescaleLifecycle(pool, Settings().lifecycle)
            for level in _LEVELS:
                await pool.execute(
                    "CALL refresh_continuous_aggregate($1::text::regclass, NULL, NULL)", level
                )
            for table in ("samples", "samples_1m", "k6_samples"):
                await pool.execute(
                    "SELECT compress_chunk(c, true) FROM show_chunks($1::text::regclass) c LIMIT 1",
                    table,
                )
        else:
            lifecycle = PostgresLifecycle(pool, Settings().lifecycle)
        await lifecycle.refresh(NOW, lambda _: None)
