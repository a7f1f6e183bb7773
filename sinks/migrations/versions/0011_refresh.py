"""See `sql/0011_refresh.*.sql`."""

from sinks.migrations.scripts import run

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply."""
    run("0011_refresh", "up")


def downgrade() -> None:
    """Take back."""
    run("0011_refresh", "down")
