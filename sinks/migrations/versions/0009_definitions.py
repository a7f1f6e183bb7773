"""See `sql/0009_definitions.*.sql`."""

from sinks.migrations.scripts import run

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply."""
    run("0009_definitions", "up")


def downgrade() -> None:
    """Take back."""
    run("0009_definitions", "down")
