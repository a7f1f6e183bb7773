"""See `sql/0003_delivery.*.sql`."""

from sinks.migrations.scripts import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    run("0003_delivery", "up")


def downgrade() -> None:
    """Take back."""
    run("0003_delivery", "down")
