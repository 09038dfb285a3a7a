"""Records that rooms hand to each other."""
