"""A local server that answers as Cloud Storage, BigQuery and Vertex AI answer Google's clients.

It knows nothing of Dagster or of the rest of this package; the rest knows it only as addresses.
"""
