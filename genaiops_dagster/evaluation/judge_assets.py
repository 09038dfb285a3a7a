"""The assets of the judge beside the reports, for use cases that ask for them."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from genaiops_dagster.budget.degrade import allowed_judge, read_degradation, read_terms, with_judge
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.checks import REPORT, is_complete
from genaiops_dagster.evaluation.evaluation_set import read_examples
from genaiops_dagster.evaluation.judge_work import calibrate, pairs_of, prefer
from genaiops_dagster.evaluation.judging.calibration import find_labels
from genaiops_dagster.evaluation.progress import POOL, EvaluationConfig, log_progress
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.evaluation.session import Session
from genaiops_dagster.google_cloud.resources import (
    ObjectStoreResource,
    VertexAIResource,
    WarehouseResource,
)
from genaiops_dagster.orchestration.asset_options import Materialized, asset_key, asset_options
from genaiops_dagster.orchestration.metadata import markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.evaluation import (
    EvaluationReport,
    JudgeCalibration,
    PreferenceReport,
)
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.evaluation import Calibration, Judge, PairwiseMetric

CALIBRATION = "judge_calibration"
PREFERENCE = "preference_report"
BIAS_CHECK, ERRORS_CHECK = "position_bias", "judge_errors"


def build_judge_assets(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """`judge_calibration` and `preference_report`, as far as the use case has them."""
    judge = use_case.evaluation.judge
    if judge is None:
        return []
    assets = []
    if judge.calibration:
        assets.append(_calibration(use_case, judge, judge.calibration))
    if judge.pairwise:
        assets.append(_preference(use_case, judge, judge.pairwise))
    return assets


def _options(use_case: UseCase, name: str, record: type[Record], **more: Any) -> dict[str, Any]:
    return {
        **asset_options(use_case, "evaluation"),
        "name": name,
        "kinds": {"gemini", "json"},
        "code_version": "1",
        "pool": POOL,
        "dagster_type": record,
        **more,
    }


def _calibration(use_case: UseCase, judge: Judge, calibration: Calibration) -> dg.AssetsDefinition:
    @dg.asset(
        **_options(
            use_case,
            CALIBRATION,
            JudgeCalibration,
            deps=[asset_key(use_case, "cost_estimate")],
            check_specs=[
                dg.AssetCheckSpec(
                    "agreement",
                    asset=asset_key(use_case, CALIBRATION),
                    blocking=True,
                    description="The judge agrees with people well enough to be believed.",
                )
            ],
        ),
        description="The judge beside people: how well its ratings agree with theirs.",
    )
    def judge_calibration(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        object_store: ObjectStoreResource,
        vertex_ai: VertexAIResource,
        warehouse: WarehouseResource,
    ) -> Materialized:
        store = object_store.get_store()
        degradation = read_degradation(store, use_case)
        asked, rater = with_judge(use_case, degradation), allowed_judge(judge, degradation)
        session = Session(asked, store, vertex_ai.get_clients(), config.cache, context.log)
        with warehouse.get_warehouse() as tables, session:
            purse = Purse(asked, store, tables, context.run.run_id)
            progress = log_progress(context, "ratings")
            found = calibrate(session, store, rater, calibration, purse, progress)
        return dg.MaterializeResult(
            value=found,
            metadata={
                "labels": find_labels(store, calibration.labels)[0],
                "agreement": _table(found),
            },
            data_version=dg.DataVersion(f"{found.judge_digest[:16]}-{found.labels_digest[:16]}"),
            check_results=[_agreement_check(found, calibration.minimum_kappa)],
        )

    definition: dg.AssetsDefinition = judge_calibration
    return definition


def _table(found: JudgeCalibration) -> dg.MetadataValue:
    return markdown_table(
        ["metric", "kappa", "low", "high", "equal", "judge minus people", "rows", "errors"],
        (
            [name, a.kappa, a.low, a.high, a.exact, a.bias, a.rows, a.errors]
            for name, a in found.metrics.items()
        ),
    )


def _agreement_check(found: JudgeCalibration, least: float) -> dg.AssetCheckResult:
    low = {name: a.kappa for name, a in found.metrics.items() if a.kappa is None or a.kappa < least}
    said = ", ".join(
        f"{name}: {'cannot be computed' if kappa is None else f'{kappa:.2f}'}"
        for name, kappa in low.items()
    )
    return dg.AssetCheckResult(
        check_name="agreement",
        passed=not low,
        description=escape_markdown(
            f"Cohen's kappa of {said}; at least {least:g} is needed."
            if low
            else f"Cohen's kappa is at least {least:g} in every rated metric."
        ),
    )


def _preference(use_case: UseCase, judge: Judge, metric: PairwiseMetric) -> dg.AssetsDefinition:
    key = asset_key(use_case, PREFERENCE)
    challenger = use_case.gate.challenger

    @dg.asset(
        **_options(
            use_case,
            PREFERENCE,
            PreferenceReport,
            ins={
                "evaluation_set": dg.AssetIn(key=asset_key(use_case, "evaluation_set")),
                "prompt": dg.AssetIn(key=asset_key(use_case, "prompt")),
                "challenger_report": dg.AssetIn(key=asset_key(use_case, REPORT, challenger)),
                "baseline_report": dg.AssetIn(key=asset_key(use_case, REPORT, metric.baseline)),
            },
            check_specs=[
                dg.AssetCheckSpec(
                    BIAS_CHECK,
                    asset=key,
                    description="The judge does not favour the answer shown first or second.",
                ),
                dg.AssetCheckSpec(
                    ERRORS_CHECK, asset=key, description="The judge decided nearly all pairs."
                ),
            ],
        ),
        description=escape_markdown(
            f"Whether the judge likes the answers of {challenger} better than those of "
            f"{metric.baseline}, shown in both orders."
        ),
        output_required=False,
    )
    def preference_report(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        object_store: ObjectStoreResource,
        vertex_ai: VertexAIResource,
        warehouse: WarehouseResource,
        evaluation_set: DatasetSplit,
        prompt: PromptVersion,
        challenger_report: EvaluationReport,
        baseline_report: EvaluationReport,
    ) -> Iterator[Materialized | dg.AssetCheckResult]:
        reports = (challenger_report, baseline_report)
        incomplete = [r.candidate for r in reports if not is_complete(use_case, r)]
        if incomplete:
            yield from _not_asked(incomplete)
            return
        store = object_store.get_store()
        terms = read_terms(store, use_case, evaluation_set)
        rater = allowed_judge(judge, terms.degradation)
        pairs = pairs_of(
            read_examples(store, terms.evaluation_set),
            prompt,
            read_rows(store, challenger_report),
            read_rows(store, baseline_report),
        )
        session = Session(terms.use_case, store, vertex_ai.get_clients(), config.cache, context.log)
        with warehouse.get_warehouse() as tables, session:
            purse = Purse(terms.use_case, store, tables, context.run.run_id)
            progress = log_progress(context, "pairs")
            found = prefer(
                session, rater, metric, challenger_report, baseline_report, pairs, purse, progress
            )
        yield dg.MaterializeResult(
            value=found,
            metadata=_preference_metadata(found),
            data_version=dg.DataVersion(found.fingerprint),
            check_results=[
                _bias_check(found),
                _errors_check(found, use_case.evaluation.maximum_judge_errors),
            ],
        )

    definition: dg.AssetsDefinition = preference_report
    return definition


def _not_asked(incomplete: Sequence[str]) -> Iterator[dg.AssetCheckResult]:
    """The checks of a preference that is not paid for."""
    for name in (BIAS_CHECK, ERRORS_CHECK):
        yield dg.AssetCheckResult(
            check_name=name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=escape_markdown(
                f"The judge was not asked: the report of {', '.join(incomplete)} is incomplete, "
                "and a preference on the other rows would say little. See its checks."
            ),
        )


def _preference_metadata(found: PreferenceReport) -> dict[str, Any]:
    liked, bias = found.preference, found.position_bias
    return {
        "dagster/row_count": found.pairs,
        "choices": markdown_table(
            [found.challenger, found.baseline, "neither", "not judged"],
            [[found.wins, found.losses, found.ties, liked.errors]],
        ),
        "preference": markdown_table(
            ["share for " + found.challenger, "low", "high", "p value"],
            [[liked.mean, liked.low, liked.high, found.p_value]],
        ),
        "judge": markdown_table(
            ["position bias", "low", "high", "same in both orders", "same when repeated"],
            [[bias.mean, bias.low, bias.high, found.consistency, found.self_agreement]],
        ),
        "emulated": found.emulated,
    }


def _bias_check(found: PreferenceReport) -> dg.AssetCheckResult:
    bias = found.position_bias
    biased = bias.low is not None and bias.high is not None and (bias.low > 0 or bias.high < 0)
    said = "unknown" if bias.mean is None else f"{bias.mean:+.2f}"
    return dg.AssetCheckResult(
        check_name=BIAS_CHECK,
        passed=not biased,
        severity=dg.AssetCheckSeverity.WARN,
        description=escape_markdown(
            f"Choices for the first place minus those for the second: {said}. Each pair was shown "
            "in both orders, so that the preference is not moved by it."
        ),
    )


def _errors_check(found: PreferenceReport, most: float) -> dg.AssetCheckResult:
    share = found.preference.errors / found.pairs if found.pairs else 1.0
    return dg.AssetCheckResult(
        check_name=ERRORS_CHECK,
        passed=share <= most,
        description=escape_markdown(
            f"{found.preference.errors} of {found.pairs} pairs were not judged ({share:.1%}); "
            f"at most {most:.1%} are allowed."
        ),
    )
