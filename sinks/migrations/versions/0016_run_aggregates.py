"""See `sql/0016_run_aggregates.*.sql`."""

from sinks.migrations.scripts import run

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Apply."""
    run("0016_run_aggregates", "up")


def downgrade() -> None:
    """Take back."""
    run("0016_run_aggregates", "down")
