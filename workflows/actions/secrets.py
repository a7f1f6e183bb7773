"""Looks up secrets where they are needed, and takes them out of what is shown afterwards."""

from collections.abc import Mapping
from pathlib import Path

from schemas.errors import Invalid

MASK = "•••"
_LONGEST = 64 * 1024
_SHORTEST = 4
"""Characters: to mask less would take single letters out of all that is shown."""


class Secrets:
    """Secrets by reference: `secret://env/NAME` of `environment`, `secret://file/run/secrets/x` of a file.

    A file is read each time: secrets are rotated.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def value(self, reference: str) -> str:
        """The secret. Raises Invalid when there is none, without saying more than its name."""
        kind, _, name = reference.removeprefix("secret://").partition("/")
        if kind == "env":
            found = self._environment.get(name, "")
        else:
            try:
                with Path("/", name).open(encoding="utf-8") as file:
                    found = file.read(_LONGEST).strip()
            except (OSError, ValueError):
                found = ""
        if not found:
            raise Invalid("unknown_secret", f"The worker has no {reference}.")
        return found


class Revealed:
    """The secrets that one action has used."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._used: set[str] = set()

    def reveal(self, reference: str) -> str:
        """The secret, remembered to be masked."""
        found = self._secrets.value(reference)
        self._used.add(found)
        return found

    def mask(self, text: str) -> str:
        """The text without any of them: an answer may echo what it was sent."""
        for secret in sorted(self._used, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                text = text.replace(secret, MASK)
        return text
