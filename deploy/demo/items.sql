-- name: ensure
-- Safe to repeat and to run twice at once: IF NOT EXISTS alone fails when two make the same thing.
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace.demo.items'));
    CREATE SCHEMA IF NOT EXISTS items;
    CREATE TABLE IF NOT EXISTS items.items (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        title text NOT NULL,
        description text,
        status text NOT NULL CHECK (status IN ('pending', 'in_progress', 'done')),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX IF NOT EXISTS items_newest ON items.items (created_at DESC, id);
END
$$

-- name: create
INSERT INTO items.items (title, description, status)
VALUES ($1, $2, $3)
RETURNING id, title, description, status, created_at, updated_at

-- name: get
SELECT id, title, description, status, created_at, updated_at
FROM items.items
WHERE id = $1

-- name: list
-- Newest first; the id keeps pages apart that share a moment.
SELECT id, title, description, status, created_at, updated_at
FROM items.items
ORDER BY created_at DESC, id
LIMIT $1 OFFSET $2

-- name: replace
UPDATE items.items
SET title = $2, description = $3, status = $4, updated_at = now()
WHERE id = $1
RETURNING id, title, description, status, created_at, updated_at

-- name: delete
DELETE FROM items.items
WHERE id = $1
RETURNING id
