-- What makes delivery exact and auditable: offsets, and the ledger of what became of each sample.

CREATE TABLE ingest_offsets (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    epoch integer NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition)
);
COMMENT ON COLUMN ingest_offsets.next_offset IS 'First offset not yet stored; moves only in the transaction that stores the rows.';
COMMENT ON COLUMN ingest_offsets.epoch IS 'How often the position was reset because the topic was made anew.';

CREATE TABLE ledger (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    minute timestamptz NOT NULL,
    received bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    deduplicated bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    lost bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer_group, topic, partition, minute),
    CHECK (received = stored + deduplicated + dead_lettered + rejected)
);
COMMENT ON TABLE ledger IS 'Samples by the minute they were handled: received = stored + deduplicated + dead_lettered + rejected.';
COMMENT ON COLUMN ledger.deduplicated IS 'Records delivered again and dropped, counted as one each: they are not decoded a second time.';
COMMENT ON COLUMN ledger.lost IS 'Records that Kafka deleted before they were read: gaps are recorded, never skipped in silence.';

GRANT SELECT, INSERT, UPDATE ON ingest_offsets, ledger TO headrace_writer;
