"""See `sql/0021_alerts.*.sql`."""

from sinks.migrations.scripts import run

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Apply."""
    run("0021_alerts", "up")


def downgrade() -> None:
    """Take back."""
    run("0021_alerts", "down")
