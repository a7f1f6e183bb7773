"""One module a revision; the SQL is in `sinks/migrations/sql`."""
