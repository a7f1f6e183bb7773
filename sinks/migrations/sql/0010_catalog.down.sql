DROP VIEW api_keys_tenant, limits_tenant, rejections_tenant, label_values_tenant, metric_labels_tenant, metrics_tenant;
DROP TABLE forgotten_series, series_epoch, rejections, label_values, metric_labels, metrics;
ALTER TABLE tenants DROP COLUMN max_series, DROP COLUMN series;
