"""The estimate of a run as an asset, and the check that it is within the budget."""

from collections.abc import Sequence

import dagster as dg

from genaiops_dagster.budget.degrade import degrade, store_sample
from genaiops_dagster.budget.ledger import Ledger, MonthlySpend, spend_by_month
from genaiops_dagster.budget.limits import refusals, sweep_refusals, too_long
from genaiops_dagster.google_cloud.base_models import concerns, require_available
from genaiops_dagster.orchestration.asset_options import asset_key, inputs, use_case_asset
from genaiops_dagster.orchestration.metadata import chart_image, markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import RESOURCES, open_workspace
from genaiops_dagster.planning.charts import spend_chart
from genaiops_dagster.planning.estimate import estimate_run, models_of
from genaiops_dagster.planning.finished import left_to_pay
from genaiops_dagster.planning.places import require_in_place
from genaiops_dagster.planning.volume import measure_run, with_evaluation_set
from genaiops_dagster.prompts.tokens import api_counter
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import UseCase


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The asset `cost_estimate` of a use case with its checks."""

    @use_case_asset(
        use_case,
        "budget",
        path=("cost_estimate",),
        description="What a run would cost, stage by stage, before anything is paid.",
        kinds={"gemini", "json"},
        code_version="1",
        ins=inputs(use_case, "training_set", "validation_set", "evaluation_set", "prompt"),
    )
    def cost_estimate(
        context: dg.AssetExecutionContext,
        training_set: DatasetSplit,
        validation_set: DatasetSplit,
        evaluation_set: DatasetSplit,
        prompt: PromptVersion,
    ) -> dg.MaterializeResult[CostEstimate]:
        with open_workspace(context, use_case) as here:
            require_available(use_case.tuning.base_model, here.clock.today())
            require_in_place(use_case, here.models.settings.location)
            store, budget = here.store, use_case.budget
            count = api_counter(here.models, use_case.tuning.base_model)
            volume = measure_run(
                use_case,
                store,
                count,
                training_set=training_set,
                validation_set=validation_set,
                evaluation_set=evaluation_set,
                prompt=prompt,
            )
            now = here.clock.now()

            def price(scoped: UseCase, rows: DatasetSplit) -> CostEstimate:
                changed = (
                    volume
                    if rows.digest == evaluation_set.digest
                    else with_evaluation_set(volume, scoped, store, count, rows, prompt)
                )
                return estimate_run(scoped, changed, now, emulated=here.models.emulated)

            estimate = degrade(
                price(use_case, evaluation_set),
                use_case,
                evaluation_set,
                lambda rows: store_sample(store, use_case.name, evaluation_set, rows),
                price,
                Ledger(store, use_case.name, budget, here.clock).read().taken(),
                lambda estimate: left_to_pay(use_case, store, estimate),
            )
            spent = spend_by_month(store, use_case.name)
        return dg.MaterializeResult(
            value=estimate,
            metadata={**estimate_metadata(estimate), **spend_metadata(spent, budget.per_month_usd)},
        )

    @dg.asset_check(
        asset=asset_key(use_case, "cost_estimate"),
        name="within_budget",
        description=(
            "The most that a run may cost is within the limits of the use case, and its unpaid "
            "part is within what is left of the month."
        ),
        blocking=True,
        required_resource_keys=set(RESOURCES),
    )
    def within_budget(
        context: dg.AssetCheckExecutionContext, cost_estimate: CostEstimate
    ) -> dg.AssetCheckResult:
        budget = use_case.budget
        with open_workspace(context, use_case) as here:
            month = Ledger(here.store, use_case.name, budget, here.clock).read().taken()
            left = left_to_pay(use_case, here.store, cost_estimate)
        reasons = [
            *refusals(cost_estimate, budget, month=month, left=left),
            *sweep_refusals(cost_estimate, use_case.tuning.sweep),
        ]
        return dg.AssetCheckResult(
            passed=not reasons,
            description=escape_markdown("\n".join(reasons)) or None,
            metadata={
                "limit_usd": budget.per_run_usd,
                "asked_usd": cost_estimate.maximum_usd,
                "asked_tokens": cost_estimate.maximum_tokens,
                "not_paid_yet_usd": left.maximum_usd,
                "spent_and_reserved_this_month_usd": month.usd,
                "spent_and_reserved_this_month_tokens": month.tokens,
                "month_limit_usd": "none" if budget.per_month_usd is None else budget.per_month_usd,
            },
        )

    @dg.asset_check(
        asset=asset_key(use_case, "cost_estimate"),
        name="fits_context",
        description="The longest request of every stage fits the model's context window.",
        blocking=True,
    )
    def fits_context(cost_estimate: CostEstimate) -> dg.AssetCheckResult:
        problems = too_long(cost_estimate)
        return dg.AssetCheckResult(
            passed=not problems,
            description=escape_markdown("\n".join(problems)) or None,
            metadata={"longest_request_tokens": cost_estimate.largest_request_tokens},
        )

    @dg.asset_check(
        asset=asset_key(use_case, "cost_estimate"),
        name="models_available",
        description="No model of the use case is retired, or may be within four months.",
    )
    def models_available() -> dg.AssetCheckResult:
        found = concerns(models_of(use_case), SYSTEM_CLOCK.today())
        retired = any(concern.standing == "retired" for concern in found)
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR if retired else dg.AssetCheckSeverity.WARN,
            description=escape_markdown("\n".join(concern.sentence for concern in found)) or None,
            metadata={concern.model: concern.standing for concern in found},
        )

    return [cost_estimate, within_budget, fits_context, models_available]


def estimate_metadata(estimate: CostEstimate) -> dict[str, dg.MetadataValue | float | int | str]:
    """The asset's page about an estimate."""
    charged = "emulated, nothing was charged" if estimate.emulated else "Google Cloud charges this"
    return {
        "expected_usd": estimate.cost_usd,
        "maximum_usd": estimate.maximum_usd,
        "tokens": estimate.tokens,
        "sampling_error": f"{estimate.error_share:.1%}",
        "charged": charged,
        **(
            {"done_with_less": "; ".join(estimate.degradation.done)} if estimate.degradation else {}
        ),
        "unknown_prices": ", ".join(estimate.unknown_prices) or "none",
        "stages": markdown_table(
            ["stage", "candidate", "model", "calls", "tokens in", "tokens out", "USD", "at most"],
            [
                (
                    stage.stage,
                    stage.candidate or None,
                    stage.model,
                    stage.calls,
                    stage.input_tokens,
                    stage.output_tokens,
                    stage.cost_usd,
                    stage.maximum_usd,
                )
                for stage in estimate.stages
            ],
        ),
    }


def spend_metadata(
    spend: Sequence[MonthlySpend], limit_usd: float | None
) -> dict[str, dg.MetadataValue]:
    """Spending so far, month by month; empty before the first payment."""
    if not spend:
        return {}
    return {
        "spent": markdown_table(
            ["month", "stage", "USD"], [(one.month, one.stage, one.usd) for one in spend]
        ),
        "spent_by_month": chart_image(spend_chart(spend, limit_usd), "US dollars spent by month"),
    }
