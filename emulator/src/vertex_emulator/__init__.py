"""A local server that answers as Cloud Storage, BigQuery and Vertex AI answer Google's clients.

It knows nothing of Dagster or of `genaiops_dagster`, which knows it only as addresses.
"""

__version__ = "0.1.0"
