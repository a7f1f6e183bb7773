-- name: hypertable
SELECT hypertable_name, num_dimensions, compression_enabled, primary_dimension
FROM timescaledb_information.hypertables
WHERE hypertable_schema = 'public'

-- name: dimension
SELECT hypertable_name, dimension_number, column_name, time_interval, num_partitions
FROM timescaledb_information.dimensions
WHERE hypertable_schema = 'public'

-- name: columnstore
SELECT hypertable, segmentby, orderby, compress_interval_length
FROM timescaledb_information.hypertable_compression_settings

-- name: continuous_aggregate
SELECT view_name, hypertable_name, materialized_only, compression_enabled, view_definition
FROM timescaledb_information.continuous_aggregates
WHERE view_schema = 'public'

-- name: job
-- Policies and our own jobs, without their numbers; the extension's own belong to no hypertable.
SELECT proc_schema, proc_name, hypertable_name, schedule_interval, scheduled,
       config - 'hypertable_id' - 'mat_hypertable_id'
FROM timescaledb_information.jobs
WHERE hypertable_name IS NOT NULL OR proc_schema = 'public'
