"""Unit tests of the read API: no socket, no database."""
