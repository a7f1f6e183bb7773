"""See `sql/0012_series.*.sql`."""

from sinks.migrations.scripts import run

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    run("0012_series", "up")


def downgrade() -> None:
    """Take back."""
    run("0012_series", "down")
