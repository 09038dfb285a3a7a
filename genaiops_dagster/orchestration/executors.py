"""Where the steps of a run are executed: in processes of its machine, or each in a pod."""

from __future__ import annotations

import os

import dagster as dg

EXECUTOR = "GENAIOPS_EXECUTOR"
PROCESSES, KUBERNETES = "processes", "kubernetes"


def build_executor() -> dg.ExecutorDefinition:
    """The executor that the environment chooses.

    Raises:
        ValueError: it chooses one that there is not.
        ImportError: it chooses Kubernetes, and dagster-k8s is not installed.
    """
    chosen = os.environ.get(EXECUTOR) or PROCESSES
    if chosen == PROCESSES:
        return dg.multiprocess_executor.configured(
            {
                "max_concurrent": 4,
                # Steps fork from a process that has the code location loaded already.
                "start_method": {
                    "forkserver": {"preload_modules": ["genaiops_dagster.definitions"]}
                },
            }
        )
    if chosen != KUBERNETES:
        raise ValueError(f"{EXECUTOR}={chosen}: choose {PROCESSES} or {KUBERNETES}")
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        remedy = "pip install 'genaiops-dagster[kubernetes]'"
        raise ImportError(f"{EXECUTOR}={KUBERNETES} needs dagster-k8s: {remedy}") from error
    executor: dg.ExecutorDefinition = k8s_job_executor
    return executor
