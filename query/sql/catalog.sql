-- name: catalog_names
-- Metrics whose names begin with $1, after the name $2 (NULL: from the first on), in the order of their bytes.
SELECT name, series, first_seen
FROM metrics_tenant
WHERE name ^@ $1 AND ($2::text IS NULL OR name > $2)
ORDER BY name
LIMIT $3;

-- name: list_labels
-- Labels of metric $1 and how many values each has had.
SELECT label, n_values
FROM metric_labels_tenant
WHERE name = $1
ORDER BY label;

-- name: list_label_values
-- Values of label $2 of metric $1 that begin with $3, after the value $4 (NULL: from the first on).
SELECT value
FROM label_values_tenant
WHERE name = $1 AND label = $2 AND value ^@ $3 AND ($4::text IS NULL OR value > $4)
ORDER BY value
LIMIT $5;

-- name: limits
SELECT series, max_series FROM limits_tenant;

-- name: top_metrics
-- The $1 metrics with the most series.
SELECT m.name, m.series, m.first_seen
FROM metrics_tenant m
ORDER BY m.series DESC, m.name
LIMIT $1;

-- name: top_labels
-- The $1 labels with the most values, with the limit that the metric's definition sets.
SELECT l.name, l.label, l.n_values, d.max_label_values
FROM metric_labels_tenant l
LEFT JOIN definitions_tenant d USING (name)
ORDER BY l.n_values DESC, l.name, l.label
LIMIT $1;

-- name: rejections
SELECT reason, samples, last_name, last_labels, first_at, last_at
FROM rejections_tenant
ORDER BY reason;

-- name: metric_plan
-- What deleting the metric removes, a row a kind of thing.
SELECT what, n, estimated FROM metric_plan($1);

-- name: forget_metric
-- Takes the metric out of sight; its rows are deleted afterwards, by the maintenance.
SELECT forget_metric($1);
