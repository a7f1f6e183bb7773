DROP VIEW sketches_1h_tenant, sketches_1h;
DROP TABLE sketch_1h;
DROP FUNCTION sketch_value(integer);
DROP FUNCTION sketch_key(double precision);
DROP FUNCTION data_version(timestamptz, timestamptz);
DROP TABLE hour_versions;
DROP TABLE rollup_dirty;
DROP FUNCTION rollup_until(text);
DROP TABLE rollups;
