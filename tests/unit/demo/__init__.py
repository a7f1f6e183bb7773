"""Unit tests of the demo: no socket, no k6."""
