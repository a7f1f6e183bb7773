"""What things mean: models, wire formats, topics, errors and settings.

The innermost room: pure, no I/O, no clock, no event loop, nothing of ours below it.
Every other room speaks in these words.
"""
