"""See `sql/0006_aggregate.*.sql`."""

from sinks.migrations.scripts import run

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    run("0006_aggregate", "up")


def downgrade() -> None:
    """Take back."""
    run("0006_aggregate", "down")
