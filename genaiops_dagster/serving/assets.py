"""What production serves, as an asset: content that the champion generated."""

import dagster as dg

from genaiops_dagster.asset_options import asset_key, asset_options, markdown_table
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.budget.tokens import api_counter
from genaiops_dagster.google_cloud.resources import (
    ObjectStoreResource,
    VertexAIResource,
    WarehouseResource,
)
from genaiops_dagster.promotion.records import Champion
from genaiops_dagster.serving.generate import (
    content_fingerprint,
    content_name,
    estimate_content,
    generate,
    read_content,
    summarize,
    write_content,
)
from genaiops_dagster.serving.records import GeneratedContent, Generation
from genaiops_dagster.use_case import UseCase


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The asset `generated_content` of a use case with its checks."""

    @dg.asset(
        **asset_options(use_case, "serving"),
        name="generated_content",
        description="What the champion says to the samples of the use case file.",
        kinds={"gemini", "gcs", "json"},
        code_version="1",
        ins={"champion": dg.AssetIn(key=asset_key(use_case, "champion"))},
    )
    def generated_content(
        context: dg.AssetExecutionContext,
        champion: Champion,
        object_store: ObjectStoreResource,
        warehouse: WarehouseResource,
        vertex_ai: VertexAIResource,
    ) -> dg.MaterializeResult[GeneratedContent]:
        store, clients = object_store.get_store(), vertex_ai.get_clients()
        samples = use_case.serving.samples
        content = content_fingerprint(champion, samples)
        name = content_name(use_case.name, content)
        found = read_content(store, name)
        if found is None:
            estimate = estimate_content(
                use_case,
                champion,
                samples,
                api_counter(clients.genai, champion.base_model),
                emulated=clients.emulated,
            )
            with (
                warehouse.get_warehouse() as tables,
                Purse(use_case, store, tables, context.run.run_id).paying(
                    f"generation/{content}",
                    stage="generation",
                    model=champion.base_model,
                    estimate=estimate,
                ) as payment,
            ):
                found = generate(
                    clients.genai, champion, clients.model_address(champion.model), samples
                )
                made = summarize(use_case, champion, "", content, found, emulated=clients.emulated)
                payment.add(
                    requests=made.rows,
                    input_tokens=made.input_tokens,
                    output_tokens=made.output_tokens,
                )
            write_content(store, name, found)
        else:
            context.log.info("The champion was asked the same before; nothing is paid again")
        made = summarize(
            use_case, champion, store.uri(name), content, found, emulated=clients.emulated
        )
        return dg.MaterializeResult(
            value=made, data_version=dg.DataVersion(content), metadata=_metadata(made, found)
        )

    @dg.asset_check(
        asset=asset_key(use_case, "generated_content"),
        name="prompt_parity",
        description="The samples were rendered with the prompt that the champion was judged by.",
        blocking=True,
        additional_ins={"champion": dg.AssetIn(key=asset_key(use_case, "champion"))},
    )
    def prompt_parity(
        generated_content: GeneratedContent, champion: Champion, object_store: ObjectStoreResource
    ) -> dg.AssetCheckResult:
        store = object_store.get_store()
        stored = read_content(store, store.name_of(generated_content.uri)) or []
        others = [g.sample for g in stored if g.prompt_digest != champion.prompt_digest]
        passed = len(stored) == generated_content.rows and not others
        return dg.AssetCheckResult(
            passed=passed,
            description=None if passed else "Samples were asked with another prompt, or are lost.",
            metadata={
                "evaluated_with": champion.prompt_digest,
                "samples_with_another_prompt": str(others),
                "samples_kept": len(stored),
            },
        )

    @dg.asset_check(
        asset=asset_key(use_case, "generated_content"),
        name="answered",
        description="Every sample was answered in full.",
    )
    def answered(generated_content: GeneratedContent) -> dg.AssetCheckResult:
        complete = generated_content.states.get("answered", 0)
        return dg.AssetCheckResult(
            passed=complete == generated_content.rows,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={str(state): count for state, count in generated_content.states.items()},
        )

    return [generated_content, prompt_parity, answered]


def _metadata(
    made: GeneratedContent, generations: list[Generation]
) -> dict[str, dg.MetadataValue | str | int | float]:
    """What the page of the asset shows; never what was asked or answered."""
    return {
        "dagster/uri": made.uri,
        "dagster/row_count": made.rows,
        "champion": made.champion,
        "model": made.model,
        "model_versions": ", ".join(made.model_versions),
        "charged": "emulated, nothing was charged" if made.emulated else "charged",
        "cost_usd": "unknown" if made.cost_usd is None else made.cost_usd,
        "longest_seconds": made.latency_seconds,
        "samples": markdown_table(
            ["sample", "state", "finish reason", "tokens in", "tokens out", "seconds"],
            [
                (
                    generation.sample,
                    generation.answer.state,
                    generation.answer.finish_reason,
                    generation.answer.input_tokens,
                    generation.answer.output_tokens,
                    generation.answer.latency_seconds,
                )
                for generation in generations
            ],
        ),
    }
