"""BigQuery tables of what is watched after a promotion."""

from __future__ import annotations

from genaiops_dagster.google_cloud.warehouse import Column, Table
from genaiops_dagster.records import layout

ONLINE_SCORES = Table(
    name=layout.ONLINE_SCORES,
    description="Scores of a sample of what was served: one row for each request and metric.",
    columns=(
        Column("use_case", "STRING", "Use case.", "REQUIRED"),
        Column("request_id", "STRING", "The request in the table `requests`.", "REQUIRED"),
        Column("metric", "STRING", "Metric.", "REQUIRED"),
        Column("created", "TIMESTAMP", "When the request was sent.", "REQUIRED"),
        Column("score", "FLOAT64", "Score; NULL when it could not be computed."),
        Column("arm", "STRING", "Part of the traffic."),
        Column("decision", "STRING", "Decision that let the model pass."),
        Column("model", "STRING", "Endpoint or base model."),
    ),
    keys=("use_case", "request_id", "metric"),
    partition="created",
    clustering=("use_case", "metric"),
)

ROLLOUTS = Table(
    name=layout.ROLLOUTS,
    description="Looks at rollouts: what was seen, and what was done about it.",
    columns=(
        Column("use_case", "STRING", "Use case.", "REQUIRED"),
        Column("looked", "TIMESTAMP", "When.", "REQUIRED"),
        Column("started", "TIMESTAMP", "When the rollout began.", "REQUIRED"),
        Column("candidate", "STRING", "Candidate."),
        Column("model", "STRING", "Endpoint or base model."),
        Column("decision", "STRING", "Decision that let it pass."),
        Column("stage", "STRING", "Stage that was looked at."),
        Column("share", "FLOAT64", "Share of users that the candidate answered in it."),
        Column("action", "STRING", "wait, advance or withdraw."),
        Column("reasons", "STRING", "Why.", "REPEATED"),
        Column("requests", "INT64", "Requests to the candidate in the stage."),
        Column("failed", "INT64", "Of these, failed."),
        Column("blocked", "INT64", "Of these, stopped by safety filters."),
        Column("latency_p95_seconds", "FLOAT64", "Of the answered ones."),
        Column("champion_latency_p95_seconds", "FLOAT64", "The champion's, in the rollout."),
        Column("quality", "FLOAT64", "Mean of the quality metric."),
        Column("champion_quality", "FLOAT64", "The champion's."),
    ),
    keys=("use_case", "looked"),
    partition="looked",
    clustering=("use_case", "candidate"),
)
