"""The pure rules of streams."""
