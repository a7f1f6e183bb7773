"""See `sql/0014_load_tests.*.sql`."""

from sinks.migrations.scripts import run

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Apply."""
    run("0014_load_tests", "up")


def downgrade() -> None:
    """Take back."""
    run("0014_load_tests", "down")
