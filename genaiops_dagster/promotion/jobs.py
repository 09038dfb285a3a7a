"""Jobs for people: approve a decision, bring a former champion back."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.plain_text import escape_markdown, visible
from genaiops_dagster.orchestration.run_coordinator import launched_by
from genaiops_dagster.orchestration.workspace import RESOURCES, open_workspace
from genaiops_dagster.promotion.approve import ApprovalError, approve, approver
from genaiops_dagster.promotion.assets import open_champion
from genaiops_dagster.promotion.champion import ChampionError, read_champion
from genaiops_dagster.promotion.log import DecisionLog
from genaiops_dagster.promotion.rollback import RollbackError, rollback
from genaiops_dagster.promotion.smoke_test import SmokeTestError, evaluation, smoke_test
from genaiops_dagster.promotion.tables import publish_log
from genaiops_dagster.records.chain import BrokenLogError
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.use_case import UseCase


class ApproveConfig(dg.Config):
    """Who approves the newest decision, and why; a proxy may give `by` instead."""

    by: str | None = None
    reason: str


class RollbackConfig(dg.Config):
    """Who brings which champion back, and why; without `to` the one before the present one."""

    by: str
    reason: str
    to: int | None = None


def build_jobs(use_case: UseCase) -> list[dg.JobDefinition]:
    """The jobs `<use case>_approve` and `<use case>_rollback`."""
    return [_approve(use_case), _rollback(use_case)]


def _approve(use_case: UseCase) -> dg.JobDefinition:
    @dg.op(name=f"{use_case.name}_approval", required_resource_keys=set(RESOURCES))
    def approval(context: dg.OpExecutionContext, config: ApproveConfig) -> None:
        user, unknown = launched_by(context.run, context.instance)
        with open_workspace(context, use_case) as here:
            log = DecisionLog(here.store, use_case.name, here.clock)
            try:
                by = approver(use_case, named=config.by or "", signed_in=user, unknown=unknown)
                entry = approve(use_case, log, by=by, reason=config.reason, account=_account(user))
            except (ApprovalError, BrokenLogError) as error:
                raise dg.Failure(str(error), allow_retries=False) from error
            publish_log(here.warehouse, log)
        context.log.info(f"{log.uri(entry.number)}: approved by {visible(entry.by)}")

    return _job(f"{use_case.name}_approve", "Approve the newest decision to promote.", approval)


def _rollback(use_case: UseCase) -> dg.JobDefinition:
    @dg.op(name=f"{use_case.name}_former_champion", out={}, required_resource_keys=set(RESOURCES))
    def former_champion(
        context: dg.OpExecutionContext, config: RollbackConfig
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
        with open_workspace(context, use_case) as here:
            books = open_champion(here)

            def ask(champion: Champion) -> list[Answer]:
                return smoke_test(here.models, use_case.serving.samples, here.clock, champion)

            try:
                champion = rollback(
                    books,
                    ask,
                    by=config.by,
                    reason=config.reason,
                    to=config.to,
                    account=_account(launched_by(context.run, context.instance).user),
                )
            except (RollbackError, ChampionError, BrokenLogError, SmokeTestError) as error:
                raise dg.Failure(str(error), allow_retries=False) from error
            publish_log(here.warehouse, books.log)
            yield dg.AssetMaterialization(
                asset_key(use_case, "champion"),
                description=escape_markdown(
                    f"Rolled back to champion {champion.restores} by {config.by}"
                ),
                metadata={
                    "champion": champion.number,
                    "restores": champion.restores,
                    "model": champion.model,
                    "by": config.by,
                    "reason": config.reason,
                },
            )
            try:  # once more, as what the pointer says: it answers production now
                answers = ask(read_champion(here.store, use_case.name) or champion)
            except SmokeTestError as error:
                yield evaluation(use_case, [], str(error))
                raise dg.Failure(f"rolled back, but {error}", allow_retries=False) from error
            yield evaluation(use_case, answers)

    description = "Bring a former champion back, after it was asked whether it answers."
    return _job(f"{use_case.name}_rollback", description, former_champion)


def _account(user: str) -> str:
    """The decision log's entry for a user that a proxy named."""
    return f"proxy: {user}" if user else ""


def _job(name: str, description: str, op: Any) -> dg.JobDefinition:
    return dg.GraphDefinition(name=name, description=description, node_defs=[op]).to_job(
        executor_def=dg.in_process_executor
    )
