"""The queries of the read API, each on tenant views only."""
