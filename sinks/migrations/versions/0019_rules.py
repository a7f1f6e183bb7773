"""See `sql/0019_rules.*.sql`."""

from sinks.migrations.scripts import run

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Apply."""
    run("0019_rules", "up")


def downgrade() -> None:
    """Take back."""
    run("0019_rules", "down")
