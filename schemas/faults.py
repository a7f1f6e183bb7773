"""What pydantic finds wrong, in words for who wrote it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError


def faults(error: ValidationError, whole: str = "it") -> list[str]:
    """Where it is, and why: never what stands there, which may be a secret. `whole` is all of it."""
    return [f"{'.'.join(map(str, one['loc'])) or whole}: {why(one)}" for one in error.errors()]


def why(fault: Mapping[str, Any]) -> str:
    """The reason, of one of `ValidationError.errors()`."""
    return str(fault["msg"]).removeprefix("Value error, ")
