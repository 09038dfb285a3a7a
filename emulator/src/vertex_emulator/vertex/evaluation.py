"""`projects.locations.evaluateInstances`: computed and judged metrics.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations/evaluateInstances
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.evaluation_computed import COMPUTED, score_instances
from vertex_emulator.vertex.evaluation_judged import (
    content_text,
    judge_pairwise,
    judge_pointwise,
    read_autorater,
)
from vertex_emulator.vertex.evaluation_rubrics import (
    evaluate_metric,
    generate_rubrics,
)
from vertex_emulator.vertex.http import PARENT, Handler, both_versions
from vertex_emulator.vertex.messages import Document, parse


def routes(context: VertexContext) -> list[Route]:
    """The routes of evaluation; google-genai's clients put a slash before the colon."""
    service = _Evaluation(context)
    methods: dict[str, Handler] = {
        "evaluateInstances": service.evaluate_instances,
        "generateInstanceRubrics": service.generate_rubrics,
        "evaluateDataset": service.refuse,
    }
    return [
        route
        for path in (PARENT, PARENT + "/")
        for method, handler in methods.items()
        for route in both_versions(context.stats, "POST", f"{path}:{method}", method, handler)
    ]


class _Evaluation:
    def __init__(self, context: VertexContext) -> None:
        self._context = context

    async def evaluate_instances(self, request: Request) -> Response:
        body = parse("EvaluateInstancesRequest", await request.body())
        return JSONResponse(await run_in_threadpool(self._evaluate, body))

    async def generate_rubrics(self, request: Request) -> Response:
        body = parse("GenerateInstanceRubricsRequest", await request.body())
        prompt = content_text(body.get("contents", []), "contents")
        return JSONResponse({"generatedRubrics": generate_rubrics(prompt)})

    async def refuse(self, _: Request) -> Response:
        raise not_served("evaluateDataset; evaluate its rows with evaluateInstances")

    def _evaluate(self, body: Document) -> Document:
        autorater_config = body.get("autoraterConfig", {})
        sources = body.get("metricSources", [])
        if any("metricResourceName" in source for source in sources):
            raise not_served("registered metrics (`metric_resource_name`)")
        metrics = [source.get("metric", {}) for source in sources] + body.get("metrics", [])
        inputs = [name for name in body if name.endswith("Input")]
        if len(inputs) + bool(metrics) != 1:
            raise ApiError(
                400, "A request to evaluateInstances needs one metric input, or metrics."
            )
        if metrics:
            # "If multiple metrics are provided, only the first one will be evaluated."
            instance = body.get("instance", {})
            return {
                "metricResults": [
                    evaluate_metric(self._context, metrics[0], instance, autorater_config)
                ]
            }
        field = inputs[0]
        name = field.removesuffix("Input")
        given = body[field]
        if name in COMPUTED:
            scores = score_instances(name, given.get("metricSpec", {}), given.get("instances", []))
            return {f"{name}Results": {f"{name}MetricValues": scores}}
        if name not in ("pointwiseMetric", "pairwiseMetric"):
            raise not_served(f"the metric input `{field}`")
        autorater = read_autorater(self._context, autorater_config)
        if name == "pointwiseMetric":
            return {"pointwiseMetricResult": judge_pointwise(self._context, given, autorater)}
        return {"pairwiseMetricResult": judge_pairwise(self._context, given, autorater)}
