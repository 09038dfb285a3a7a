"""The life of a generative model on Google Vertex AI, as Dagster assets."""
