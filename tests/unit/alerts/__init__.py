"""The engine of alerts."""
