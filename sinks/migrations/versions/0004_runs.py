"""See `sql/0004_runs.*.sql`."""

from sinks.migrations.scripts import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    run("0004_runs", "up")


def downgrade() -> None:
    """Take back."""
    run("0004_runs", "down")
