DROP TABLE watched_outbox;
