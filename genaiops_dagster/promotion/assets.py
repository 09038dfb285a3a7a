"""Decision and champion as assets; the champion trusts nothing but evidence read again."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from genaiops_dagster.budget.degrade import read_scope
from genaiops_dagster.comparison.compare import IncomparableError
from genaiops_dagster.comparison.publish import compare_stored
from genaiops_dagster.evaluation.checks import REPORT
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.orchestration.asset_options import (
    Materialized,
    asset_key,
    inputs,
    use_case_asset,
)
from genaiops_dagster.orchestration.metadata import markdown_list, markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import RESOURCES, Workspace, open_workspace
from genaiops_dagster.promotion import smoke_test as smoke_tests
from genaiops_dagster.promotion.approve import find_approval
from genaiops_dagster.promotion.champion import ChampionBooks, ChampionError
from genaiops_dagster.promotion.decide import Challenge, challenge
from genaiops_dagster.promotion.log import DecisionLog, read_log, require_published
from genaiops_dagster.promotion.promote import Refused, approval_request, decide_and_record, promote
from genaiops_dagster.promotion.registry import Registry
from genaiops_dagster.promotion.tables import publish_log
from genaiops_dagster.records.chain import BrokenLogError
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.evaluation import Answer, ChampionEvaluation, EvaluationReport
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import UnmeasuredError, measured
from genaiops_dagster.records.promotion import Champion, Decision, Verdict
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import find_record, read_record
from genaiops_dagster.records.serving import LoadTest
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import CHAMPION, UseCase
from genaiops_dagster.use_case.gate import LatencySloRule

GATE_CHECK = "gate"

_REFUSALS = (BrokenLogError, ChampionError, IncomparableError, Refused, UnmeasuredError)


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets `promotion_decision` and `champion`, and the check `gate` between them."""
    return [_promotion_decision(use_case), _gate(use_case), _champion(use_case)]


def _promotion_decision(use_case: UseCase) -> dg.AssetsDefinition:
    @use_case_asset(
        use_case,
        "promotion",
        description="The gate's verdict on the challenger, and why; a refusal is recorded, too.",
        ins=inputs(use_case, "model_comparison"),
        kinds={"bigquery", "gcs", "json"},
        code_version="1",
        deps=_evidence_from_serving(use_case),
    )
    def promotion_decision(
        context: dg.AssetExecutionContext, model_comparison: Comparison
    ) -> dg.MaterializeResult[Decision]:
        with open_workspace(context, use_case) as here:
            books = open_champion(here)
            try:
                require_published(here.warehouse, use_case.name, books.log.read())
                entry = decide_and_record(read_challenge(here), model_comparison, books)
            except BrokenLogError as error:
                raise dg.Failure(str(error), allow_retries=False) from error
            publish_log(here.warehouse, books.log)
        uri = books.log.uri(entry.number)
        decision = entry.decision
        if decision is None:
            raise dg.Failure(f"{uri} holds no decision")
        context.log.info(f"{decision.challenger}: {decision.verdict.outcome}")
        return dg.MaterializeResult(
            value=decision,
            data_version=dg.DataVersion(decision.id),
            metadata={
                "verdict": decision.verdict.outcome,
                **verdict_metadata(decision.verdict),
                "challenger": f"{decision.challenger} ({decision.model})",
                "dagster/uri": uri,
                "decided": decision.created,
            },
        )

    return promotion_decision


def _gate(use_case: UseCase) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(use_case, "promotion_decision"),
        name=GATE_CHECK,
        description="Every rule of the gate holds for the challenger, and who has to approves.",
        blocking=True,
        required_resource_keys=set(RESOURCES),
    )
    def gate(
        context: dg.AssetCheckExecutionContext, promotion_decision: Decision
    ) -> dg.AssetCheckResult:
        verdict = promotion_decision.verdict
        passed, description = verdict.outcome == "PROMOTE", "; ".join(verdict.reasons)
        policy = use_case.gate.approval
        if passed and policy is not None:
            with open_workspace(context, use_case) as here:
                entries = read_log(here.store, use_case.name)
            passed = find_approval(entries, policy, promotion_decision) is not None
            description = description if passed else approval_request(use_case)
        return dg.AssetCheckResult(
            passed=passed,
            description=escape_markdown(f"{verdict.outcome}: {description}"),
            metadata=verdict_metadata(verdict),
        )

    return gate


def _champion(use_case: UseCase) -> dg.AssetsDefinition:
    @use_case_asset(
        use_case,
        "promotion",
        description=(
            "What production serves. Reads the evidence again, runs the gate again, and moves "
            "pointer and alias only when all is as it was decided."
        ),
        ins=inputs(use_case, "promotion_decision"),
        kinds={"gcs", "googlecloud", "json"},
        code_version="1",
        **_smoke_tested(use_case),
    )
    def champion(
        context: dg.AssetExecutionContext, promotion_decision: Decision
    ) -> Iterator[dg.AssetCheckResult | Materialized]:
        answers: list[Answer] = []
        with open_workspace(context, use_case) as here:
            books = open_champion(here)

            def smoke_test(challenger: Champion) -> None:
                answers.extend(
                    smoke_tests.smoke_test(
                        here.models, use_case.serving.samples, here.clock, challenger
                    )
                )

            try:
                require_published(here.warehouse, use_case.name, books.log.read())
                comparison, _ = compare_stored(
                    here.store, use_case, *_reports(use_case, here.store)
                )
                promoted = promote(
                    read_challenge(here),
                    promotion_decision,
                    comparison,
                    books,
                    smoke_test,
                )
            except smoke_tests.SmokeTestError as error:
                yield smoke_tests.check_result(answers, str(error))
                raise dg.Failure(f"not promoted: {error}", allow_retries=False) from error
            except _REFUSALS as error:
                raise dg.Failure(str(error), allow_retries=False) from error
            publish_log(here.warehouse, books.log)
        now_serving, rollout = promoted.champion, promoted.champion.rollout
        changed = promoted.changed
        outcome = "begins its rollout" if rollout else "was promoted"
        context.log.info(
            f"{promotion_decision.challenger} {outcome if changed else 'serves already'}; "
            f"champion {now_serving.number} is {now_serving.candidate}"
        )
        yield dg.MaterializeResult(
            value=now_serving,
            data_version=dg.DataVersion(f"{now_serving.number}"),
            metadata={
                "champion": now_serving.number,
                "candidate": now_serving.candidate,
                "model": now_serving.model,
                "registered_model": now_serving.registered_model or "(a base model)",
                "promoted": now_serving.promoted,
                "changed": changed,
                "rollout": (
                    f"{rollout.candidate.candidate} at stage {rollout.stage}" if rollout else "none"
                ),
                "dagster/uri": here.store.uri(Layout(use_case.name).champion),
                "decision": now_serving.decision_uri,
                "report": now_serving.report_uri,
            },
            check_results=[smoke_tests.check_result(answers)],
        )

    return champion


def _smoke_tested(use_case: UseCase) -> dict[str, Any]:
    """Arguments of an asset of a champion that has the smoke test as a check."""
    check = dg.AssetCheckSpec(
        smoke_tests.CHECK,
        asset=asset_key(use_case, "champion"),
        description="The challenger answered before it was promoted; after a rollback, the "
        "champion that serves again.",
        blocking=True,
    )
    return {"dagster_type": Champion, "check_specs": [check]}


def _evidence_from_serving(use_case: UseCase) -> list[dg.AssetKey]:
    """The load test, where the gate asks for it: it has to come first."""
    is_needed = any(isinstance(rule, LatencySloRule) for rule in use_case.gate.rules)
    return [asset_key(use_case, "load_test")] if is_needed else []


def open_champion(here: Workspace) -> ChampionBooks:
    """Where the champion of a workspace's use case is written down."""
    name = here.use_case.name
    log = DecisionLog(here.store, name, here.clock)
    return ChampionBooks(here.store, Registry(here.models, name), log)


def read_challenge(here: Workspace, challenger: str | None = None) -> Challenge:
    """The present state, whatever it was when the decision was made.

    Args:
        here: Whose challenger, data and records.
        challenger: Another candidate in place of the gate's challenger.
    """
    use_case, store = here.use_case, here.store
    if challenger is not None:
        gate = use_case.gate.model_copy(update={"challenger": challenger})
        use_case = use_case.model_copy(update={"gate": gate})
    whole = read_record(store, DatasetSplit, use_case.name, "evaluation_set")
    scope = read_scope(store, use_case, whole)
    return challenge(
        scope.use_case,
        here.models,
        read_record(store, PromptVersion, use_case.name, "prompt"),
        read_record(
            store,
            TunedModel,
            use_case.name,
            "/".join(use_case.candidates[use_case.gate.challenger].tuned_model),
        ),
        scope.evaluation_set,
        find_record(store, LoadTest, use_case.name, "load_test"),
        measured(store, use_case.name),
    )


def _reports(
    use_case: UseCase, store: ObjectStore
) -> tuple[list[EvaluationReport], ChampionEvaluation]:
    """The latest reports of all candidates, and of what production serves."""
    return [
        read_record(store, EvaluationReport, use_case.name, REPORT, name)
        for name in use_case.candidates
    ], read_record(store, ChampionEvaluation, use_case.name, REPORT, CHAMPION)


def verdict_metadata(verdict: Verdict) -> dict[str, dg.MetadataValue]:
    """A verdict as the UI shows it: its rules with their figures, and why it came out so.

    In two entries, because the UI folds a long one away.
    """
    marks = {"PROMOTE": "holds", "REJECT": "fails", "INSUFFICIENT": "not known", "WAIVED": "waived"}
    deciding = [rule for rule in verdict.rules if rule.outcome != "PROMOTE"] or verdict.rules
    return {
        "rules": markdown_table(
            ["rule", "", "found", "limit"],
            [[rule.rule, marks[rule.outcome], rule.found, rule.limit] for rule in verdict.rules],
        ),
        "reasons": markdown_list(f"{rule.rule}: {rule.reason}" for rule in deciding),
    }
