"""Assets of the judge besides the reports, for use cases that ask for them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from genaiops_dagster.budget.degrade import allowed_judge, read_degradation, read_scope, with_judge
from genaiops_dagster.evaluation.alone import alone
from genaiops_dagster.evaluation.asking.concurrency import log_progress
from genaiops_dagster.evaluation.checks import REPORT, is_complete
from genaiops_dagster.evaluation.evaluation_set import read_examples
from genaiops_dagster.evaluation.judge_work import calibrate, pairs_of, prefer
from genaiops_dagster.evaluation.judging.calibration import find_labels
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.evaluation.run_config import POOL, EvaluationConfig, purse_of
from genaiops_dagster.evaluation.services import Services
from genaiops_dagster.orchestration.asset_options import Materialized, asset_key, use_case_asset
from genaiops_dagster.orchestration.metadata import markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import Workspace, open_workspace
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.evaluation import (
    EvaluationReport,
    JudgeCalibration,
    PreferenceReport,
)
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.evaluation import Calibration, Evaluation, Judge, PairwiseMetric

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


_OPTIONS: dict[str, Any] = {"kinds": {"gemini", "json"}, "code_version": "1", "pool": POOL}


def _calibration(use_case: UseCase, judge: Judge, calibration: Calibration) -> dg.AssetsDefinition:
    @use_case_asset(
        use_case,
        "evaluation",
        path=(CALIBRATION,),
        **_OPTIONS,
        dagster_type=JudgeCalibration,
        deps=[asset_key(use_case, "cost_estimate")],
        check_specs=[
            dg.AssetCheckSpec(
                "agreement",
                asset=asset_key(use_case, CALIBRATION),
                blocking=True,
                description="The judge agrees with people well enough to be believed.",
            )
        ],
        description="The judge compared with people: how well its ratings agree with theirs.",
    )
    def judge_calibration(
        context: dg.AssetExecutionContext, config: EvaluationConfig
    ) -> Materialized:
        with open_workspace(context, use_case) as here:
            degradation = read_degradation(here.store, use_case)
            evaluation = with_judge(use_case, degradation).evaluation
            with _alone(context, config, here, evaluation, CALIBRATION) as services:
                found = calibrate(
                    services,
                    allowed_judge(judge, degradation),
                    calibration,
                    log_progress(context.log, "ratings", here.clock),
                )
            labels, _ = find_labels(here.store, calibration.labels)
        return dg.MaterializeResult(
            value=found,
            metadata={"labels": labels, "agreement": _table(found)},
            data_version=dg.DataVersion(f"{found.judge_digest[:16]}-{found.labels_digest[:16]}"),
            check_results=[_agreement_check(found, calibration.minimum_kappa)],
        )

    return judge_calibration


@contextmanager
def _alone(
    context: dg.AssetExecutionContext,
    config: EvaluationConfig,
    here: Workspace,
    evaluation: Evaluation,
    subject: str,
) -> Iterator[Services]:
    """The services of a step that no other run takes at the same time."""
    with (
        alone(here.store, here.use_case.name, subject, here.clock, context.log),
        Services(evaluation, here.models, purse_of(here, context), config.cache) as services,
    ):
        yield services


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
    figures = ", ".join(
        f"{name}: {'cannot be computed' if kappa is None else f'{kappa:.2f}'}"
        for name, kappa in low.items()
    )
    return dg.AssetCheckResult(
        check_name="agreement",
        passed=not low,
        description=escape_markdown(
            f"Cohen's kappa of {figures}; at least {least:g} is needed."
            if low
            else f"Cohen's kappa is at least {least:g} in every rated metric."
        ),
    )


def _preference(use_case: UseCase, judge: Judge, metric: PairwiseMetric) -> dg.AssetsDefinition:
    key = asset_key(use_case, PREFERENCE)
    challenger = use_case.gate.challenger

    @use_case_asset(
        use_case,
        "evaluation",
        path=(PREFERENCE,),
        **_OPTIONS,
        dagster_type=PreferenceReport,
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
        description=escape_markdown(
            f"Whether the judge likes the answers of {challenger} better than those of "
            f"{metric.baseline}, shown in both orders."
        ),
        output_required=False,
    )
    def preference_report(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
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
        with open_workspace(context, use_case) as here:
            scope = read_scope(here.store, use_case, evaluation_set)
            pairs = pairs_of(
                read_examples(here.store, scope.evaluation_set),
                prompt,
                read_rows(here.store, challenger_report),
                read_rows(here.store, baseline_report),
            )
            with _alone(context, config, here, scope.use_case.evaluation, PREFERENCE) as services:
                found = prefer(
                    services,
                    allowed_judge(judge, scope.degradation),
                    metric,
                    challenger_report,
                    baseline_report,
                    pairs,
                    log_progress(context.log, "pairs", here.clock),
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

    return preference_report


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
    figures = "unknown" if bias.mean is None else f"{bias.mean:+.2f}"
    return dg.AssetCheckResult(
        check_name=BIAS_CHECK,
        passed=not biased,
        severity=dg.AssetCheckSeverity.WARN,
        description=escape_markdown(
            f"Choices for the first place minus those for the second: {figures}. Each pair was "
            "shown in both orders, so that the preference is not moved by it."
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
