"""Benchmarks: real servers, the real path, and beside each figure the limit of the same machine in the same minute."""
