DROP FUNCTION hour_states(timestamptz, timestamptz, boolean);
