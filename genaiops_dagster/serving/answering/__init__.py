"""Answers of the champion to those who ask."""
