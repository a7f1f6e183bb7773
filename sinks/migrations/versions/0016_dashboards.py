"""See `sql/0016_dashboards.*.sql`."""

from sinks.migrations.scripts import run

revision = "0016"
down_revision = "0014"


def upgrade() -> None:
    """Apply."""
    run("0016_dashboards", "up")


def downgrade() -> None:
    """Take back."""
    run("0016_dashboards", "down")
