"""The ingest path without a socket."""
