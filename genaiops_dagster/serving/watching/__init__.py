"""What is watched after a promotion: online figures, drift, rollout, feedback."""
