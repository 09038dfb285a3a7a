"""Questions besides the evaluation set: golden cases, safety, and what tuning may unlearn."""
