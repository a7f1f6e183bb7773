"""See `sql/0023_incidents.*.sql`."""

from sinks.migrations.scripts import run

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Apply."""
    run("0023_incidents", "up")


def downgrade() -> None:
    """Take back."""
    run("0023_incidents", "down")
