"""Runs the SQL files of one revision in the database's storage mode."""

from importlib import resources

from alembic import op

_SQL = resources.files("sinks.migrations").joinpath("sql")

_HANDED_OVER = "0007_owner"
"""From the revision after this one on, what is made belongs to headrace_owner from the start."""


def files(revision: str, direction: str, mode: str) -> list[tuple[str, str]]:
    """Names and texts of a revision's files for `direction` (up, down), in the order they run."""
    names = [f"{revision}.{direction}.sql", f"{revision}.{direction}.{mode}.sql"]
    if direction == "down":
        names.reverse()
    found = [(name, _SQL.joinpath(name)) for name in names]
    return [(name, path.read_text(encoding="utf-8")) for name, path in found if path.is_file()]


def run(revision: str, direction: str) -> None:
    """Execute a revision's files. Called from the revision modules."""
    context = op.get_context()
    mode = (context.config.attributes if context.config else {})["storage"]
    # Straight to the driver, in Alembic's transaction: through SQLAlchemy a `%` in the text is a parameter.
    cursor = op.get_bind().connection.cursor()
    if revision > _HANDED_OVER:
        cursor.execute("SET LOCAL ROLE headrace_owner")
    for _, text in files(revision, direction, mode):
        cursor.execute(text)
    cursor.execute("RESET ROLE")
