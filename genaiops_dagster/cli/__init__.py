"""The `genaiops` command."""

from genaiops_dagster.cli.app import main

__all__ = ["main"]
