"""Asking models: requests, batches, how fast, and what is kept of answers."""
