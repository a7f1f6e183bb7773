"""How a demo fails."""

from schemas.errors import HeadraceError


class DemoFailed(HeadraceError):
    """A part of the demo failed. The text says which, and what to read or do."""
