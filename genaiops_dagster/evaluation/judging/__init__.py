"""Judges: models that rate answers, or choose between two."""
