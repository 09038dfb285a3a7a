"""Evaluation and experiments through the SDKs that people use."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from google.api_core import exceptions

from vertex_emulator.testing import RunningEmulator

PROMPT = "Summarize: the town library opens on Sundays because readers asked for it."


@pytest.fixture
def sdk(emulator: RunningEmulator) -> Any:
    from google.cloud import aiplatform

    aiplatform.init(
        project=emulator.variables["GOOGLE_CLOUD_PROJECT"],
        location=emulator.variables["GOOGLE_CLOUD_LOCATION"],
        api_endpoint=emulator.url,
        api_transport="rest",
    )
    return aiplatform


@pytest.fixture
def dataset() -> Any:
    return pd.DataFrame(
        {
            "prompt": [PROMPT] * 3,
            "response": ["The library opens on Sundays.", "Bananas.", "The library opens."],
            "reference": ["The library opens on Sundays."] * 3,
            "baseline_model_response": ["Bananas.", "The library opens on Sundays.", "Bananas."],
        }
    )


def test_eval_task_scores_a_data_frame_and_keeps_it_as_an_experiment(
    sdk: Any, emulator: RunningEmulator, dataset: Any
) -> None:
    """https://cloud.google.com/vertex-ai/generative-ai/docs/models/run-evaluation"""
    import vertexai
    from vertexai.evaluation import EvalTask, MetricPromptTemplateExamples

    vertexai.init(
        project=emulator.variables["GOOGLE_CLOUD_PROJECT"],
        location=emulator.variables["GOOGLE_CLOUD_LOCATION"],
        api_endpoint=emulator.url,
        api_transport="rest",
    )
    task = EvalTask(
        dataset=dataset,
        metrics=[
            "exact_match",
            "rouge_1",
            MetricPromptTemplateExamples.Pointwise.SUMMARIZATION_QUALITY,
            MetricPromptTemplateExamples.Pairwise.SUMMARIZATION_QUALITY,
        ],
        experiment="library-summaries",
    )
    result = task.evaluate(experiment_run_name="first", evaluation_service_qps=100)
    summary, table = result.summary_metrics, result.metrics_table
    assert summary["row_count"] == 3
    assert summary["exact_match/mean"] == pytest.approx(1 / 3)
    # 3 of 3 predicted and of 5 reference words match in the last row.
    assert table["rouge_1/score"].tolist() == pytest.approx([1, 0, 2 * 3 / (3 + 5)])
    assert table["summarization_quality/score"].between(1, 5).all()
    assert table["summarization_quality/explanation"].str.contains("Emulated judge").all()
    choices = table["pairwise_summarization_quality/pairwise_choice"].tolist()
    assert choices == ["CANDIDATE", "BASELINE", "CANDIDATE"]
    frame = sdk.get_experiment_df("library-summaries")
    assert frame["metric.exact_match/mean"].tolist() == pytest.approx([1 / 3])


def test_agent_platform_evaluates_and_infers(emulator: RunningEmulator, dataset: Any) -> None:
    """https://cloud.google.com/vertex-ai/generative-ai/docs/models/evaluation-genai-console"""
    import agentplatform
    from agentplatform import types

    client = agentplatform.Client(
        project=emulator.variables["GOOGLE_CLOUD_PROJECT"],
        location=emulator.variables["GOOGLE_CLOUD_LOCATION"],
        http_options={"base_url": emulator.url},
    )
    answered = client.evals.run_inference(
        model="gemini-3.5-flash", src=dataset[["prompt", "reference"]][:1]
    )
    assert answered.eval_dataset_df["response"][0]
    result = client.evals.evaluate(
        dataset=types.EvaluationDataset(eval_dataset_df=dataset.iloc[:, :3]),
        metrics=[
            types.Metric(name="exact_match"),
            types.RubricMetric.GENERAL_QUALITY(version="v1"),
            types.RubricMetric.SAFETY,
            types.LLMMetric(
                name="brevity",
                prompt_template="Rate.\n## Rating Rubric\n3: short\n1: long\n{prompt}{response}",
            ),
        ],
    )
    means = {metric.metric_name: metric.mean_score for metric in result.summary_metrics}
    errors = {metric.metric_name: metric.num_cases_error for metric in result.summary_metrics}
    assert means["exact_match"] == pytest.approx(1 / 3)
    assert means["safety_v1" if "safety_v1" in means else "safety_v3"] == 1
    assert 0 < means["general_quality_v1"] < 1
    assert 1 <= means["brevity"] <= 3
    assert set(errors.values()) == {0}


def test_runs_of_an_experiment_are_compared(sdk: Any) -> None:
    """https://cloud.google.com/vertex-ai/docs/experiments/create-experiment"""
    sdk.init(experiment="tuning-rates", experiment_tensorboard=False)
    for name, rate in (("slow", 0.1), ("fast", 2.0)):
        with sdk.start_run(name):
            sdk.log_params({"rate": rate, "base": "gemini-3.5-flash"})
            sdk.log_metrics({"accuracy": 0.5 + rate / 10})
    frame = sdk.get_experiment_df("tuning-rates").sort_values("run_name")
    assert frame["run_name"].tolist() == ["fast", "slow"]
    assert frame["param.rate"].tolist() == [2.0, 0.1]
    assert frame["metric.accuracy"].tolist() == pytest.approx([0.7, 0.51])
    assert frame["state"].tolist() == ["COMPLETE"] * 2
    with sdk.start_run("slow", resume=True):
        sdk.log_metrics({"accuracy": 0.9})
    run = sdk.ExperimentRun("slow", experiment="tuning-rates")
    assert run.get_metrics() == {"accuracy": 0.9}
    run.delete()
    assert len(sdk.get_experiment_df("tuning-rates")) == 1
    sdk.Experiment("tuning-rates").delete()
    with pytest.raises(exceptions.NotFound):
        sdk.Context("tuning-rates")


def test_lineage_of_executions_and_artifacts(sdk: Any) -> None:
    """https://cloud.google.com/vertex-ai/docs/ml-metadata/tracking"""
    sdk.init(experiment="lineage", experiment_tensorboard=False)
    with (
        sdk.start_run("only"),
        sdk.start_execution(schema_title="system.ContainerExecution") as execution,
    ):
        data = sdk.Artifact.create(schema_title="system.Dataset", uri="gs://bucket/data")
        execution.assign_input_artifacts([data])
        model = sdk.Artifact.create(schema_title="system.Model", uri="gs://bucket/model")
        execution.assign_output_artifacts([model])
    assert [item.uri for item in execution.get_input_artifacts()] == ["gs://bucket/data"]
    assert [item.uri for item in execution.get_output_artifacts()] == ["gs://bucket/model"]
    run = sdk.ExperimentRun("only", experiment="lineage")
    assert {item.uri for item in run.get_artifacts()} == {"gs://bucket/data", "gs://bucket/model"}
    found = sdk.Artifact.list(filter='schema_title="system.Model" AND uri="gs://bucket/model"')
    assert model.resource_name in {item.resource_name for item in found}


def test_an_artifact_exists_once_and_can_be_changed(sdk: Any) -> None:
    sdk.Artifact.create(schema_title="system.Dataset", resource_id="rows-1", display_name="rows")
    with pytest.raises(exceptions.Conflict):
        sdk.Artifact.create(schema_title="system.Dataset", resource_id="rows-1")
    artifact = sdk.Artifact("rows-1")
    artifact.update(metadata={"rows": 10}, description="ten")
    again = sdk.Artifact("rows-1")
    assert again.metadata == {"rows": 10}
    artifact.delete()
    with pytest.raises(exceptions.NotFound):
        sdk.Artifact("rows-1")


def test_tensorboard_is_refused_by_name(sdk: Any) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="TensorBoard"):
        sdk.Tensorboard.list()
