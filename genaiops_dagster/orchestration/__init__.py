"""Dagster's side of every room."""
