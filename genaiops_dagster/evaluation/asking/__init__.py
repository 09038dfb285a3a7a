"""Asking models: requests, batches, how fast, and the cache of their answers."""
