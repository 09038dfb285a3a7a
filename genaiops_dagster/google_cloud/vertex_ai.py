"""Clients of the Vertex AI API."""

from __future__ import annotations

import dataclasses
import functools
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from genaiops_dagster.google_cloud.base_models import location_in, serving_location

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from google.auth.credentials import Credentials
    from google.cloud.aiplatform_v1beta1 import (
        EndpointServiceClient,
        EvaluationServiceClient,
        ModelServiceClient,
        PipelineServiceClient,
    )
    from google.genai import Client
    from requests import Session

    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

_RETRIED_STATUSES = [408, 429, 500, 502, 503, 504]
_CONNECTIONS = 64

EMULATOR_SERVER = "vertex-emulator"
"""How the `Server` header of the emulator's answers begins."""

_importing = threading.Lock()


def message_types() -> Any:
    """The message types of the Vertex AI API, `google.cloud.aiplatform_v1beta1.types`.

    Its package has hundreds of modules that import each other in circles: two threads that begin
    to import it at the same moment may each see the other's half.
    """
    with _importing:
        from google.cloud.aiplatform_v1beta1 import types
    return types


class VertexAI:
    """Builds clients for one project and location; each client is built once, on first use.

    Args:
        settings: Project, location and base URL.
    """

    def __init__(self, settings: GoogleCloudSettings) -> None:
        self.settings = settings
        self._elsewhere: dict[str, VertexAI] = {}
        self._genai: Client | None = None
        self._services: dict[type, Any] = {}
        self._lock = threading.Lock()

    @property
    def genai(self) -> Client:
        """Client for content, tokens, tuning, batches and caches; retries what may pass."""
        with self._lock:  # a second one, made at the same moment, would close when it is dropped
            if self._genai is None:
                self._genai = self.new_genai(attempts=5)
            return self._genai

    def at(self, location: str) -> VertexAI:
        """Clients for another location of the same project, with the same credentials."""
        if location == self.settings.location:
            return self
        with self._lock:
            if location not in self._elsewhere:
                other = VertexAI(dataclasses.replace(self.settings, location=location))
                other._credentials = self._credentials
                self._elsewhere[location] = other
            return self._elsewhere[location]

    def serving(self, address: str) -> VertexAI:
        """Clients for the location in which a model is asked, by its resource name."""
        return self.at(location_in(self.served_address(address)) or self.settings.location)

    @asynccontextmanager
    async def genai_in_loop(self) -> AsyncIterator[Client]:
        """A client for the running event loop, which sends each request once; closed at the end.

        The SDK's own session looks for proxies at each request, in two threads; this one
        looks once.
        """
        import aiohttp

        scheme, host = self._address()
        proxies = {} if urllib.request.proxy_bypass(host) else urllib.request.getproxies()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), proxy=proxies.get(scheme)
        ) as session:
            client = self.new_genai(session=session)
            try:
                yield client
            finally:
                await client.aio.aclose()

    def new_genai(self, *, attempts: int = 1, session: ClientSession | None = None) -> Client:
        """A client of its own, for callers that retry by themselves.

        Args:
            attempts: How often a request is sent before an error that may pass is raised.
            session: Sends asynchronous requests; one of the SDK's if None.
        """
        from google import genai
        from google.genai import types

        return genai.Client(
            vertexai=True,
            credentials=self._credentials,
            project=self.settings.project,
            location=self.settings.location,
            http_options=types.HttpOptions(
                base_url=self.settings.vertex_url,
                timeout=120_000,
                aiohttp_client=session,
                retry_options=types.HttpRetryOptions(
                    attempts=attempts, initial_delay=0.5, http_status_codes=_RETRIED_STATUSES
                ),
            ),
        )

    @property
    def evaluation(self) -> EvaluationServiceClient:
        """Client of the evaluation service, over REST."""
        message_types()
        from google.cloud.aiplatform_v1beta1 import EvaluationServiceClient
        from google.cloud.aiplatform_v1beta1.services.evaluation_service.transports import (
            EvaluationServiceRestTransport,
        )

        client: EvaluationServiceClient = self._service(
            EvaluationServiceClient, EvaluationServiceRestTransport
        )
        return client

    @property
    def models(self) -> ModelServiceClient:
        """Client of the model registry, over REST."""
        message_types()
        from google.cloud.aiplatform_v1beta1 import ModelServiceClient
        from google.cloud.aiplatform_v1beta1.services.model_service.transports import (
            ModelServiceRestTransport,
        )

        client: ModelServiceClient = self._service(ModelServiceClient, ModelServiceRestTransport)
        return client

    @property
    def endpoints(self) -> EndpointServiceClient:
        """Client of the endpoints of tuned models, over REST."""
        message_types()
        from google.cloud.aiplatform_v1beta1 import EndpointServiceClient
        from google.cloud.aiplatform_v1beta1.services.endpoint_service.transports import (
            EndpointServiceRestTransport,
        )

        client: EndpointServiceClient = self._service(
            EndpointServiceClient, EndpointServiceRestTransport
        )
        return client

    @property
    def pipelines(self) -> PipelineServiceClient:
        """Client of pipeline jobs, over REST."""
        message_types()
        from google.cloud.aiplatform_v1beta1 import PipelineServiceClient
        from google.cloud.aiplatform_v1beta1.services.pipeline_service.transports import (
            PipelineServiceRestTransport,
        )

        client: PipelineServiceClient = self._service(
            PipelineServiceClient, PipelineServiceRestTransport
        )
        return client

    @functools.cached_property
    def _credentials(self) -> Credentials:
        """Application-default credentials of all clients: reading a key takes a while each time."""
        import google.auth

        found: Credentials = google.auth.default(
            scopes=["https://www.googleapis.com/auth/cloud-platform"]
        )[0]
        return found

    def _service(self, client: type, transport: type) -> Any:
        with self._lock:
            if client not in self._services:
                from requests.adapters import HTTPAdapter

                scheme, host = self._address()
                wire = transport(host=host, url_scheme=scheme, credentials=self._credentials)
                # By default ten connections are kept: more threads would open theirs again.
                wire._session.mount(f"{scheme}://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
                _ask_environment_once(wire._session, f"{scheme}://{host}")
                self._services[client] = client(transport=wire)
            return self._services[client]

    def _address(self) -> tuple[str, str]:
        """URL scheme and host of the API for this location."""
        if self.settings.vertex_url:
            scheme, _, host = self.settings.vertex_url.partition("://")
            return scheme, host.rstrip("/")
        location = self.settings.location
        if location == "global":
            return "https", "aiplatform.googleapis.com"
        if location in ("us", "eu"):
            return "https", f"aiplatform.{location}.rep.googleapis.com"
        return "https", f"{location}-aiplatform.googleapis.com"

    @functools.cached_property
    def emulated(self) -> bool:
        """Whether the API is served by the emulator, where nothing is charged.

        Asked of the server itself, and only where the API is not at Google's own address: a proxy
        on this machine may well lead to Google.
        """
        if not self.settings.vertex_url:
            return False
        address = f"{self.settings.vertex_url.rstrip('/')}/emulator/ready"
        try:
            with urllib.request.urlopen(address, timeout=10) as response:  # noqa: S310
                server = response.headers.get("server")
        except urllib.error.HTTPError as refusal:  # it names itself without the token, too
            server = refusal.headers.get("server")
        except OSError:
            return False
        return (server or "").startswith(EMULATOR_SERVER)

    @property
    def parent(self) -> str:
        """`projects/<project>/locations/<location>`."""
        return f"projects/{self.settings.project}/locations/{self.settings.location}"

    def model_address(self, model: str, location: str | None = None) -> str:
        """Resource name of a base model's name or a tuned endpoint, by which answers are kept.

        Args:
            model: Name, or resource name, which is returned as it is.
            location: Where the model is asked; that of everything else if None.
        """
        if "/" in model:
            return model
        parent = f"projects/{self.settings.project}/locations/{location or self.settings.location}"
        return f"{parent}/publishers/google/models/{model}"

    def served_address(self, address: str) -> str:
        """The resource name by which a model is asked, of one that `model_address` gave.

        A base model that is not served in that location is asked where it is served nearest.
        """
        location = location_in(address)
        if location is None or "/publishers/" not in address:
            return address
        served = serving_location(address, location)
        return address.replace(f"/locations/{location}/", f"/locations/{served}/")


def _ask_environment_once(session: Session, url: str) -> None:
    """Read proxies and certificates from the environment now, and not again for each request."""
    found = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify = found["proxies"], found["verify"]
    session.trust_env = False
