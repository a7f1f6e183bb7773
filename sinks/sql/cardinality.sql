-- name: limit
-- Sets a tenant's own limit ($2), or takes it back (NULL): $1 its name.
UPDATE tenants SET max_series = $2 WHERE name = $1
RETURNING name, series, max_series

-- name: tenants
-- This and the next: $1 a tenant's name or NULL for all, $2 how many.
SELECT name, series, max_series
FROM tenants
WHERE $1::text IS NULL OR name = $1
ORDER BY series DESC, name LIMIT $2

-- name: metrics
SELECT t.name, m.name, m.series
FROM metrics m JOIN tenants t USING (tenant_id)
WHERE $1::text IS NULL OR t.name = $1
ORDER BY m.series DESC, t.name, m.name LIMIT $2

-- name: labels
SELECT t.name, l.name, l.label, l.n_values
FROM metric_labels l JOIN tenants t USING (tenant_id)
WHERE $1::text IS NULL OR t.name = $1
ORDER BY l.n_values DESC, t.name, l.name, l.label LIMIT $2

-- name: rejections
SELECT t.name, r.reason, r.samples, r.last_name, r.last_labels::text, r.first_at, r.last_at
FROM rejections r JOIN tenants t USING (tenant_id)
WHERE $1::text IS NULL OR t.name = $1
ORDER BY r.samples DESC, t.name, r.reason LIMIT $2
