DROP TABLE ledger;
DROP TABLE ingest_offsets;
