"""Content that is generated from the prompts of a day, or from samples."""
