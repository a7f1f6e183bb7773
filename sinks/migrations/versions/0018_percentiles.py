"""See `sql/0018_percentiles.*.sql`."""

from sinks.migrations.scripts import run

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Apply."""
    run("0018_percentiles", "up")


def downgrade() -> None:
    """Take back."""
    run("0018_percentiles", "down")
