"""See `sql/0015_run_aggregates.*.sql`."""

from sinks.migrations.scripts import run

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Apply."""
    run("0015_run_aggregates", "up")


def downgrade() -> None:
    """Take back."""
    run("0015_run_aggregates", "down")
