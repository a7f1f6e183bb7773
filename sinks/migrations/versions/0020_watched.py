"""See `sql/0020_watched.*.sql`."""

from sinks.migrations.scripts import run

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Apply."""
    run("0020_watched", "up")


def downgrade() -> None:
    """Take back."""
    run("0020_watched", "down")
