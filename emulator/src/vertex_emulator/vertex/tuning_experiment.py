"""The experiment of a tuning job in the metadata store: its parameters, and losses as it goes on.

Google keeps the losses as TensorBoard time series; here they are metrics of the experiment's one
run, named `train_total_loss_epoch_1` and `eval_total_loss_epoch_1`, as TensorBoard is not served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vertex_emulator.vertex.database import ResourceStore
from vertex_emulator.vertex.metadata import put_node

Document = dict[str, Any]
Losses = Mapping[str, float]
"""Loss by metric name, after one epoch."""


def record_experiment(
    resources: ResourceStore,
    job: Document,
    spec: Document,
    losses: Sequence[Losses],
    time: str,
    *,
    ended: bool = False,
) -> str:
    """Write the experiment of a job as it is now, over what was written before.

    Args:
        resources: The store of all resources.
        job: The tuning job.
        spec: Its supervised or preference spec, hyperparameters filled in.
        losses: After each epoch so far.
        time: When, as the API prints it.
        ended: Whether the job made its model.

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
    metrics = {
        f"{metric}_epoch_{epoch}": loss
        for epoch, after in enumerate(losses, 1)
        for metric, loss in after.items()
    }
    state = "COMPLETE" if ended else "RUNNING"
    parameters = {"base_model": job["baseModel"], **spec["hyperParameters"]}
    put_node(
        resources,
        f"{experiment}-run",
        {
            "displayName": "run",
            "schemaTitle": "system.ExperimentRun",
            "schemaVersion": "0.0.1",
            "parentContexts": [experiment],
            "metadata": {"_params": parameters, "_metrics": metrics, "_state": state},
        },
        time,
        replace=True,
    )
    return experiment
