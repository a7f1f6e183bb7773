DROP FUNCTION refresh_sketches(timestamptz);
DROP FUNCTION next_stretch(text, text, timestamptz);
DROP FUNCTION whole_buckets(interval, tstzmultirange);
DROP FUNCTION pass_marks(text, tstzmultirange);
DROP FUNCTION take_marks(text, timestamptz, timestamptz);
DROP TABLE maintenance;
DROP INDEX sketch_1h_bucket;
