"""See `sql/0024_hour_states.*.sql`."""

from sinks.migrations.scripts import run

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Apply."""
    run("0024_hour_states", "up")


def downgrade() -> None:
    """Take back."""
    run("0024_hour_states", "down")
