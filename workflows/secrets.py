"""Looks secrets up where they are needed: in an activity, never in what a workflow is given or says."""

from collections.abc import Mapping
from pathlib import Path

from schemas.errors import Invalid
from schemas.secrets import SCHEME, check_reference

_LONGEST = 64 * 1024


class Secrets:
    """Secrets of an environment and of files."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def reveal(self, reference: str) -> str:
        """The secret; of a file, without line breaks at its end.

        Raises Invalid, which names the reference, when there is none.
        """
        place, _, name = check_reference(reference).removeprefix(SCHEME).partition("/")
        if place == "env":
            found = self._environment.get(name)
        else:
            try:
                found = Path(name).read_bytes()[:_LONGEST].decode().rstrip("\r\n")
            except (OSError, UnicodeDecodeError):
                found = None
        if not found:
            raise Invalid("no_secret", f"{reference} holds nothing on this worker.")
        return found
