"""Unit tests of producers: no socket."""
