"""How a model answers under load."""
