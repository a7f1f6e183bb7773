"""See `sql/0017_dashboards.*.sql`."""

from sinks.migrations.scripts import run

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Apply."""
    run("0017_dashboards", "up")


def downgrade() -> None:
    """Take back."""
    run("0017_dashboards", "down")
