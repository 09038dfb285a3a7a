"""From answers to figures: metrics, their statistics and summaries."""
