"""See `sql/0008_rollups.*.sql`."""

from sinks.migrations.scripts import run

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply."""
    run("0008_rollups", "up")


def downgrade() -> None:
    """Take back."""
    run("0008_rollups", "down")
