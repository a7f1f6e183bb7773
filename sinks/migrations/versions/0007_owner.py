"""See `sql/0007_owner.*.sql`."""

from sinks.migrations.scripts import run

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Apply."""
    run("0007_owner", "up")


def downgrade() -> None:
    """Take back."""
    run("0007_owner", "down")
