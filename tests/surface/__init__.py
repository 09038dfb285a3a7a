"""A picture of what users have, kept as files next to the tests that take it again.

A test that fails here says that something changed which somebody may rely on. If that is meant,

    pytest tests/surface -m "slow or not slow" --update-surface

writes the files again; the difference is reviewed, and told in the change log.
"""
