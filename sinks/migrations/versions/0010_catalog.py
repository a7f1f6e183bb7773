"""See `sql/0010_catalog.*.sql`."""

from sinks.migrations.scripts import run

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply."""
    run("0010_catalog", "up")


def downgrade() -> None:
    """Take back."""
    run("0010_catalog", "down")
