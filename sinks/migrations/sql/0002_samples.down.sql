DROP TABLE samples;
DROP FUNCTION ensure_samples(date[]);
DROP TABLE series;
