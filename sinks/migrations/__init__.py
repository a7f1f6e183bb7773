"""Migrations: Alembic revisions whose text is SQL, once for both storage modes or once for each.

`sql/NNNN_name.up.sql` runs everywhere; `sql/NNNN_name.up.timescaledb.sql` and `.up.postgresql.sql`
run after it in their own mode, and before the common file on the way `down`. An applied migration
never changes: write the next one.
"""
