DROP FUNCTION cleanup_execution(uuid);
DROP FUNCTION aggregate_execution(uuid);
DROP FUNCTION execution_statistics(uuid, text[], jsonb[], text[], double precision[]);
DROP FUNCTION execution_counts(uuid);
DROP FUNCTION raw_points(uuid);
