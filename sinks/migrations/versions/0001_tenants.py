"""See `sql/0001_tenants.*.sql`."""

from sinks.migrations.scripts import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply."""
    run("0001_tenants", "up")


def downgrade() -> None:
    """Take back."""
    run("0001_tenants", "down")
