"""Publisher models: get and list.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/publishers.models
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import PARENT, both_versions
from vertex_emulator.vertex.listing import page_answer
from vertex_emulator.vertex.messages import Document


def routes(context: VertexContext) -> list[Route]:
    """The routes of `publishers.models`, with and without project and location."""
    names = [*context.catalog.base_models(), *context.catalog.embedding_models()]

    async def get(request: Request) -> Response:
        name = request.path_params["model"].partition("@")[0]
        if name not in names:
            raise ApiError(
                404,
                f"Publisher Model `publishers/google/models/{name}` was not found. The emulator"
                f" has: {', '.join(names)}.",
            )
        request.state.model = name
        return JSONResponse(_publisher_model(name))

    async def list_all(request: Request) -> Response:
        models = [_publisher_model(name) for name in names]
        return JSONResponse(page_answer("publisherModels", models, request.query_params))

    return [
        route
        for prefix in ("", PARENT)
        for path, method, handler in (
            ("/publishers/google/models/{model}", "publishers.models.get", get),
            ("/publishers/google/models", "publishers.models.list", list_all),
        )
        for route in both_versions(context.stats, "GET", f"{prefix}{path}", method, handler)
    ]


def _publisher_model(name: str) -> Document:
    return {
        "name": f"publishers/google/models/{name}",
        "versionId": "emulated",
        "openSourceCategory": "PROPRIETARY",
        "launchStage": "PUBLIC_PREVIEW" if name.endswith("-preview") else "GA",
        "versionState": "VERSION_STATE_STABLE",
        "publisherModelTemplate": (
            f"projects/{{project}}/locations/{{location}}/publishers/google/models/{name}"
        ),
    }
