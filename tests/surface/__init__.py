"""A picture of what users have, kept as files beside the tests that take it anew.

A test that fails here says that something changed which somebody may rely on. If that is meant,

    pytest tests/surface -m "slow or not slow" --update-surface

writes the files again; the difference is reviewed, and told in the change log.
"""
