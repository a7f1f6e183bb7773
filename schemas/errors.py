"""Errors, named by the caller's next move.

HeadraceError
├── Invalid      this input can never succeed: refuse or dead-letter it, go on with the rest
├── Temporary    the same call may succeed later: retry with backoff
├── Restart      this process's picture of the world is wrong: end it, a new one will have it right
└── Permanent    nothing here will succeed until a person acts: stop and tell
"""


class HeadraceError(Exception):
    """Base of all errors that headrace raises on purpose. Its text says what, where and what to do."""


class Invalid(HeadraceError):
    """The input is wrong and stays wrong. Refuse it; what came with it is not affected.

    `reason` is a stable word for metrics and headers (`bad_json`, `unknown_tenant`), the text is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Temporary(HeadraceError):
    """A dependency is away or busy. Retry after `retry_after` seconds."""

    def __init__(self, detail: str, *, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Restart(HeadraceError):
    """What this process remembers is no longer true. End it with exit code 1; its manager starts another."""


class Permanent(HeadraceError):
    """Configuration or state that only a person can mend. Stop; do not retry."""
