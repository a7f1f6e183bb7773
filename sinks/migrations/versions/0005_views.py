"""See `sql/0005_views.*.sql`."""

from sinks.migrations.scripts import run

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    run("0005_views", "up")


def downgrade() -> None:
    """Take back."""
    run("0005_views", "down")
