"""The public API for applications: `from genaiops_dagster.serving import Router`."""

from genaiops_dagster.serving.answering.router import NoChampionError, Route, Router

__all__ = ["NoChampionError", "Route", "Router"]
