INSERT INTO storage (mode) VALUES ('timescaledb');
