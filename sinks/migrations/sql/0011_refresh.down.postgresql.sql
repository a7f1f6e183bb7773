DROP FUNCTION refresh_rollup(text, timestamptz);
DROP FUNCTION earliest_sample();
DROP FUNCTION ensure_rollups(date[]);
