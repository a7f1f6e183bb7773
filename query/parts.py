"""What the application is made of, handed to its routes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, FastAPI, Request

from query.database import Database
from schemas.keys import Keyring


@dataclass(frozen=True)
class Parts:
    """Who may ask, where rows are read, and what time it is (aware)."""

    keyring: Keyring
    database: Database
    clock: Callable[[], datetime]


def install(app: FastAPI, parts: Parts) -> None:
    """Give the application its parts."""
    app.state.parts = parts


def _parts(request: Request) -> Parts:
    return cast("Parts", request.app.state.parts)


Wired = Annotated[Parts, Depends(_parts)]
