"""Rules without a server."""
