"""What an item is, and where items are kept: a schema of their own beside headrace's tables."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import asyncpg
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from schemas.named_queries import load

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Status = Literal["pending", "in_progress", "done"]

# PostgreSQL's text has no NUL character.
_TEXT = r"^[^\x00]*$"
_SQL = load(__package__, "items.sql")


class ItemBody(BaseModel):
    """What a client says about an item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_TEXT)]
    description: Annotated[str, StringConstraints(max_length=10_000, pattern=_TEXT)] | None = None
    status: Status = "pending"


class Item(ItemBody):
    """An item as it is kept."""

    id: UUID
    created_at: AwareDatetime
    updated_at: AwareDatetime


@dataclass(frozen=True)
class ItemStore:
    """Items in PostgreSQL. `get` and `replace` return None for an id that is not there."""

    pool: Pool

    async def ensure(self) -> None:
        """Make the schema and its table, unless they are there."""
        await self.pool.execute(_SQL["ensure"])

    async def alive(self) -> bool:
        """Whether the table can be read now."""
        try:
            await self.pool.fetch(_SQL["list"], 0, 0)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def create(self, body: ItemBody) -> Item:
        """Keep a new item."""
        return Item(**await self.pool.fetchrow(_SQL["create"], *_columns(body)))

    async def get(self, item_id: UUID) -> Item | None:
        """Find an item."""
        row = await self.pool.fetchrow(_SQL["get"], item_id)
        return row and Item(**row)

    async def page(self, limit: int, offset: int) -> list[Item]:
        """Up to `limit` items, newest first, without the first `offset`."""
        return [Item(**row) for row in await self.pool.fetch(_SQL["list"], limit, offset)]

    async def replace(self, item_id: UUID, body: ItemBody) -> Item | None:
        """Give an item a new title, description and status."""
        row = await self.pool.fetchrow(_SQL["replace"], item_id, *_columns(body))
        return row and Item(**row)

    async def delete(self, item_id: UUID) -> bool:
        """Forget an item; False when there was none."""
        return await self.pool.fetchrow(_SQL["delete"], item_id) is not None


def _columns(body: ItemBody) -> tuple[str, str | None, Status]:
    return body.title, body.description, body.status
