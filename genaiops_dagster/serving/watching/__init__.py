"""Monitoring after a promotion: online figures, drift, rollout, feedback."""
