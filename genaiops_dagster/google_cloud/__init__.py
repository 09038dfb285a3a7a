"""Cloud Storage, BigQuery and Vertex AI: the only place that builds a client.

The same code talks to Google Cloud and to the emulator; Google's own environment variables decide.
"""
