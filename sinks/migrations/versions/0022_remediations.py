"""See `sql/0022_remediations.*.sql`."""

from sinks.migrations.scripts import run

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Apply."""
    run("0022_remediations", "up")


def downgrade() -> None:
    """Take back."""
    run("0022_remediations", "down")
