"""The experiment that a tuning job leaves in the metadata store: its parameters and losses.

Google keeps the losses as TensorBoard time series; here they are metrics of the experiment's one
run, named `train_total_loss_epoch_1` and `eval_total_loss_epoch_1`, as TensorBoard is not served.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genaiops_dagster.emulator.vertex.metadata import put_node
from genaiops_dagster.emulator.vertex.resources import ResourceStore

Document = dict[str, Any]


def record_experiment(
    resources: ResourceStore,
    job: Document,
    spec: Document,
    losses: Mapping[str, float],
    time: str,
) -> str:
    """Write the experiment of a finished job, over one that an interrupted attempt left.

    Args:
        resources: The store of all resources.
        job: The tuning job.
        spec: Its supervised or preference spec, hyperparameters filled in.
        losses: Value by metric name.
        time: When, as the API prints it.

    Returns:
        Resource name of the experiment's context.
    """
    parent, _, number = job["name"].partition("/tuningJobs/")
    store = f"{parent}/metadataStores/default"
    if resources.get(store) is None:
        document = {"name": store, "createTime": time, "updateTime": time}
        resources.put(store, "metadataStores", document)
    experiment = f"{store}/contexts/tuning-experiment-{number}"
    put_node(
        resources,
        experiment,
        {
            "displayName": f"tuning-experiment-{number}",
            "schemaTitle": "system.Experiment",
            "schemaVersion": "0.0.1",
            "metadata": {"experiment_deleted": False},
        },
        time,
        replace=True,
    )
    parameters = {"base_model": job["baseModel"], **spec["hyperParameters"]}
    put_node(
        resources,
        f"{experiment}-run",
        {
            "displayName": "run",
            "schemaTitle": "system.ExperimentRun",
            "schemaVersion": "0.0.1",
            "parentContexts": [experiment],
            "metadata": {"_params": parameters, "_metrics": dict(losses), "_state": "COMPLETE"},
        },
        time,
        replace=True,
    )
    return experiment
