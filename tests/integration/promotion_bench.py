"""A use case whose reports are made by hand, with real assets, storage, tables and registry."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

import dagster as dg
from google.cloud import bigquery, storage
from google.genai import types

from genaiops_dagster.comparison.assets import build_assets as comparison_assets
from genaiops_dagster.comparison.publish import compare_stored
from genaiops_dagster.evaluation.report import write_report
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.promotion.assets import build_assets as promotion_assets
from genaiops_dagster.promotion.champion import ChampionBooks
from genaiops_dagster.promotion.decide import Challenge, challenge
from genaiops_dagster.promotion.log import DecisionLog
from genaiops_dagster.promotion.promote import decide_and_record, promote
from genaiops_dagster.promotion.registry import Registry
from genaiops_dagster.promotion.smoke_test import smoke_test
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.evaluation import (
    ChampionEvaluation,
    EvaluationReport,
    RowResult,
    report_subject,
)
from genaiops_dagster.records.measurements import anchor, measured
from genaiops_dagster.records.promotion import Champion, Decision, Rollout
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record, from_row, read_object, to_json
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import UseCase
from tests.comparison.examples import make_report, make_rows, make_use_case
from tests.values import present

BETTER_THAN_FLASH = {"rule": "better_than", "metric": "exact_match", "candidate": "flash"}
KEEP = {"rule": "no_worse_than", "metric": "exact_match", "candidate": "champion", "margin": 0.05}


class Bench:
    """A use case of its own on the shared emulator.

    `flash` and `pro` are right on 30 % and 60 % of the rows, `tuned` on 90 %.
    """

    def __init__(self, tuned: Sequence[TunedModel], **gate: Any) -> None:
        self.settings = GoogleCloudSettings.from_environment()
        self.vertex_ai = VertexAI(self.settings)
        self.store = ObjectStore(storage.Client(), self.settings.bucket)
        self.bigquery = bigquery.Client()
        self.models = tuned
        self.use_case = make_use_case(
            gate.pop("rules", [BETTER_THAN_FLASH, KEEP]),
            name=f"bench_{uuid.uuid4().hex[:12]}",
            **gate,
        )
        prompt = version(self.use_case.prompt)
        self.tuned = tuned[0].model_copy(update={"prompt_digest": prompt.digest})
        self.put("prompt", prompt)
        self.put_data("data")
        self.put("tuned_model", self.tuned)
        self.put("evaluation_report/champion", ChampionEvaluation(number=None, report=None))
        self.evaluate("flash", make_rows(0.3, seed=1))
        self.evaluate("pro", make_rows(0.6, seed=2))
        self.evaluate("tuned", make_rows(0.9, seed=3))

    @property
    def name(self) -> str:
        return self.use_case.name

    @property
    def log(self) -> DecisionLog:
        return DecisionLog(self.store, self.name, SYSTEM_CLOCK)

    def put(self, asset: str, record: Record) -> None:
        """Make `record` what the asset says."""
        self.store.write(f"{self.name}/assets/{asset}.json", to_json(record))

    def get(self, asset: str) -> Any:
        return self.store.read_json(f"{self.name}/assets/{asset}.json")

    def put_data(self, digest: str) -> None:
        """Make `digest` the evaluation set's."""
        prompt = version(self.use_case.prompt)
        self.put(
            "evaluation_set",
            DatasetSplit(
                name="evaluation",
                uri=self.store.uri(f"{self.name}/datasets/{digest}/evaluation.jsonl"),
                digest=digest,
                dataset_digest=digest,
                prompt_digest=prompt.digest,
                rows=200,
                characters=1000,
            ),
        )

    def fingerprint(self, candidate: str) -> str | None:
        """What the report of a candidate has to have; None for the champion's."""
        if candidate not in self.use_case.candidates:
            return None
        return self.challenge(candidate).task.fingerprint

    def address(self, candidate: str) -> str:
        if candidate == "tuned":
            return self.tuned.endpoint
        return self.vertex_ai.model_address(self.use_case.candidates[candidate].model)

    def evaluate(
        self, candidate: str, rows: Sequence[RowResult], **changes: Any
    ) -> EvaluationReport:
        """Make `rows` the report of a candidate, as `evaluation_report/<candidate>` would."""
        mark = uuid.uuid4().hex
        folder = self.store.uri(f"{self.name}/reports/{mark}")
        report = make_report(
            candidate,
            rows,
            **{
                "use_case": self.name,
                "model": changes.pop("model", None) or self.address(candidate),
                "fingerprint": self.fingerprint(candidate) or mark,
                "prompt_digest": version(self.use_case.prompt).digest,
                "rows_uri": f"{folder}/rows.parquet",
                "summary_uri": f"{folder}/summary.json",
            }
            | changes,
        )
        digest = write_report(self.store, report, rows)
        anchor(self.store, self.name, {report_subject(report): digest}, SYSTEM_CLOCK)
        if candidate != "champion":
            self.put(f"evaluation_report/{candidate}", report)
        return report

    def evaluate_champion(self, rows: Sequence[RowResult]) -> None:
        """Make `rows` the answers of what serves now."""
        champion = self.champion
        address = self.vertex_ai.model_address(champion.model)
        report = self.evaluate("champion", rows, model=address)
        record = ChampionEvaluation(number=champion.number, report=report)
        self.put("evaluation_report/champion", record)

    @property
    def champion(self) -> Champion:
        return read_object(self.store, f"{self.name}/champion.json", Champion)

    @property
    def rollout(self) -> Rollout:
        """Returns the rollout that is under way."""
        return present(self.champion.rollout)

    def materialize(
        self, *assets: str, use_case: UseCase | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Materialize comparison and promotion assets, all or the named ones, in one run."""
        chosen = use_case or self.use_case
        upstream = ["prompt", "evaluation_set", "tuned_model", "evaluation_report/champion"]
        upstream += [f"evaluation_report/{name}" for name in chosen.candidates]
        definitions = [
            *(dg.AssetSpec([self.name, *name.split("/")]) for name in upstream),
            *comparison_assets(chosen),
            *promotion_assets(chosen),
        ]
        keys = [dg.AssetKey([self.name, name]) for name in assets]
        return dg.materialize(
            definitions,  # type: ignore[arg-type]
            resources=build_resources(),
            selection=dg.AssetSelection.assets(*keys) if keys else None,
            raise_on_error=False,
            tags=tags,
        )

    def refusal(
        self, *assets: str, use_case: UseCase | None = None, tags: dict[str, str] | None = None
    ) -> str:
        """What the failed step of a run said."""
        result = self.materialize(*(assets or ("champion",)), use_case=use_case, tags=tags)
        assert not result.success
        [event] = result.get_step_failure_events()[-1:]
        error = present(event.step_failure_data.error)
        while error.cause is not None:
            error = error.cause
        return error.message

    def smoke_test(self, champion: Champion) -> None:
        """What the assets do before they promote."""
        smoke_test(self.vertex_ai, self.use_case.serving.samples, SYSTEM_CLOCK, champion)

    @property
    def books(self) -> ChampionBooks:
        return ChampionBooks(self.store, Registry(self.vertex_ai, self.name), self.log)

    def challenge(self, challenger: str | None = None) -> Challenge:
        gate = self.use_case.gate
        gate = gate.model_copy(update={"challenger": challenger or gate.challenger})
        return challenge(
            self.use_case.model_copy(update={"gate": gate}),
            self.vertex_ai,
            from_row(PromptVersion, self.get("prompt")),
            from_row(TunedModel, self.get("tuned_model")),
            from_row(DatasetSplit, self.get("evaluation_set")),
            measured=measured(self.store, self.name),
        )

    def compare(self) -> Comparison:
        """What `model_comparison` does, without tables and charts."""
        reports = [
            from_row(EvaluationReport, self.get(f"evaluation_report/{name}"))
            for name in self.use_case.candidates
        ]
        champion = from_row(ChampionEvaluation, self.get("evaluation_report/champion"))
        comparison, _ = compare_stored(self.store, self.use_case, reports, champion)
        self.put("model_comparison", comparison)
        return comparison

    def decide(self) -> Decision:
        """What `model_comparison` and `promotion_decision` do."""
        entry = decide_and_record(self.challenge(), self.compare(), self.books)
        decision = present(entry.decision)
        self.put("promotion_decision", decision)
        return decision

    def promote(self) -> Champion:
        """What all the assets do, in their order."""
        champion = promote(
            self.challenge(), self.decide(), self.compare(), self.books, self.smoke_test
        ).champion
        self.put("champion", champion)
        return champion

    def retune(self, rows: Sequence[RowResult], model: TunedModel) -> None:
        """Another tuned model with other answers."""
        self.tuned = model
        self.put("tuned_model", model)
        self.evaluate("tuned", rows)

    def aliases(self, model: str) -> set[str]:
        return set(self.vertex_ai.models.get_model(name=model).version_aliases)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of a table that are this use case's, in order."""
        sql = f"SELECT * FROM genaiops.{table} WHERE use_case = '{self.name}'"
        found = [dict(row) for row in self.bigquery.query(sql).result()]
        return sorted(found, key=lambda row: json.dumps(row, default=str, sort_keys=True))


def tune(count: int) -> list[TunedModel]:
    """Models that the emulator really tuned, so that the registry has them; oldest first."""
    settings = GoogleCloudSettings.from_environment()
    lines = [
        {
            "contents": [
                {"role": "user", "parts": [{"text": f"question {n}"}]},
                {"role": "model", "parts": [{"text": "json" if n % 2 else "csv"}]},
            ]
        }
        for n in range(20)
    ]
    name = f"bench/{uuid.uuid4().hex}.jsonl"
    body = "\n".join(json.dumps(line) for line in lines)
    storage.Client().bucket(settings.bucket).blob(name).upload_from_string(body)
    vertex_ai = VertexAI(settings)
    client = vertex_ai.genai
    data = types.TuningDataset(gcs_uri=f"gs://{settings.bucket}/{name}")
    jobs = [
        client.tunings.tune(
            base_model="gemini-3.5-flash",
            training_dataset=data,
            config=types.CreateTuningJobConfig(epoch_count=1),
        )
        for _ in range(count)
    ]
    models = [_finished(client, job.name) for job in jobs]
    return sorted(models, key=lambda m: vertex_ai.models.get_model(name=m.model).create_time)


def _finished(client: Any, name: str) -> TunedModel:
    deadline = time.monotonic() + 60
    while True:
        job = client.tunings.get(name=name)
        if job.has_ended:
            break
        assert time.monotonic() < deadline, job.state
        time.sleep(0.1)
    return TunedModel(
        fingerprint=name,
        job=name,
        state="JOB_STATE_SUCCEEDED",
        base_model="gemini-3.5-flash",
        model=job.tuned_model.model,
        endpoint=job.tuned_model.endpoint,
        checkpoints=[],
        training_digest="training",
        prompt_digest="prompt",
        epochs=1,
        examples=20,
        steps=None,
        billable_tokens=None,
        dropped_count=0,
        dropped_examples={},
        cost_usd=None,
        emulated=True,
    )


def label(bench: Bench, model: str) -> None:
    """Mark a model as the use case's, as its tuning job would have done."""
    name = model.partition("@")[0]
    bench.vertex_ai.models.update_model(
        model={"name": name, "labels": {"genaiops_use_case": bench.name}},
        update_mask={"paths": ["labels"]},
    )
