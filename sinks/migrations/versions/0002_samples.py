"""See `sql/0002_samples.*.sql`."""

from sinks.migrations.scripts import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply."""
    run("0002_samples", "up")


def downgrade() -> None:
    """Take back."""
    run("0002_samples", "down")
