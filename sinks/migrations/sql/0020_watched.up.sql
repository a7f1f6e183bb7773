-- Samples that a rule watches, on their way to metrics.watched.v1: written with the batch that stored
-- them, published after its commit, gone when Kafka has them. Normally next to empty.

CREATE TABLE watched_outbox (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    watched_partition integer NOT NULL,
    epoch integer NOT NULL,
    start_offset bigint NOT NULL,
    part integer NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT now(),
    payload bytea NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition, watched_partition, epoch, start_offset, part)
);
COMMENT ON COLUMN watched_outbox.topic IS 'With partition: whose samples they are.';
COMMENT ON COLUMN watched_outbox.watched_partition IS 'Of metrics.watched.v1: where they go. Within it those of a source go in the order of epoch, start_offset, part.';
COMMENT ON COLUMN watched_outbox.payload IS 'The record''s value, as schemas/watched.py has it.';
-- Compressed already.
ALTER TABLE watched_outbox ALTER payload SET STORAGE EXTERNAL;
-- Rows live for milliseconds: what they leave behind is to be swept before it is in the way.
ALTER TABLE watched_outbox SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 20000
);

GRANT SELECT, INSERT, DELETE ON watched_outbox TO headrace_writer;
