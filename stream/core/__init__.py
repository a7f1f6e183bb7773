"""The pure rules of streams: no client, no clock, no event loop."""
