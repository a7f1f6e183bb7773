"""See `sql/0013_latest.*.sql`."""

from sinks.migrations.scripts import run

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    run("0013_latest", "up")


def downgrade() -> None:
    """Take back."""
    run("0013_latest", "down")
