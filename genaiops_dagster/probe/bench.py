"""What the checks of a probe work with: clients, names of their own, a purse, cleaning up.

Names begin with `PREFIX`, which no use case's name can: what a probe leaves behind is found by it.
"""

from __future__ import annotations

import contextlib
import functools
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from genaiops_dagster.budget.pricing import PriceList, token_cost
from genaiops_dagster.google_cloud.base_models import BaseModel, availability, model_facts
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.probe.outcome import DiffersError, NotTriedError
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

PREFIX = "genaiops-probe"
"""With which names of objects, jobs and caches begin; those of tables with `genaiops_probe`."""

SMALL_USD = 0.05
"""The most that all short answers of a probe cost together, in US dollars."""

_ANSWER_TOKENS = 1024
"""Of a short answer at most, thoughts included."""


@dataclass
class Bench:
    """Where checks work; a context manager at whose end everything that they created is deleted.

    Attributes:
        settings: Project, bucket, dataset and locations.
        use_cases: Those whose data and accounts are looked at.
        clock: Tells the time, and waits.
        spend_usd: What jobs may cost together; None if none may be created.
        left: What could not be deleted, with the reason; complete at the end.
        spent_usd: What was answered and trained, at Google's prices.
        tell: Receives how far a job is.
        tuned: The small tuning job, once it has succeeded.
        run: Part of all names that this probe gives.
    """

    settings: GoogleCloudSettings
    use_cases: Mapping[str, UseCase]
    clock: Clock
    spend_usd: float | None = None
    left: list[str] = field(default_factory=list)
    spent_usd: float = 0.0
    tell: Callable[[str], None] = lambda _: None
    tuned: types.TuningJob | None = None
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _cleaning: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleaning.close()

    @functools.cached_property
    def store(self) -> ObjectStore:
        """The bucket."""
        return ObjectStore.connect(self.settings)

    @functools.cached_property
    def warehouse(self) -> Warehouse:
        """The dataset of result tables."""
        return Warehouse.connect(self.settings, self.clock)

    @functools.cached_property
    def bigquery(self) -> Any:
        """A BigQuery client like the warehouse's."""
        from google.cloud import bigquery

        return bigquery.Client(self.settings.project, location=self.settings.bigquery_location)

    @functools.cached_property
    def models(self) -> VertexAI:
        """Clients of Vertex AI in the configured location."""
        return VertexAI(self.settings)

    def client(self, model: str) -> genai.Client:
        """The client of the location in which a base model is asked."""
        return self.models.serving(self.models.model_address(model)).genai

    def cleaning(self, what: str, delete: Callable[[], object]) -> None:
        """Have something deleted at the end, also after Ctrl-C; to be called before it is created.

        Args:
            what: What it is, for the report of what is left.
            delete: Deletes it; a failure other than its absence is reported.
        """

        def attempt() -> None:
            try:
                delete()
            except Exception as error:  # noqa: BLE001 - the rest is to be deleted, too
                if status_of(error) != 404:
                    self.left.append(f"{what}: {type(error).__name__}: {error}")

        self._cleaning.callback(attempt)

    def object_name(self, name: str) -> str:
        """Name of an object that is deleted at the end."""
        full = f"{PREFIX}/{self.run}/{name}"
        self.cleaning(f"object {full}", lambda: self.store.delete(full))
        return full

    def folder(self, name: str) -> str:
        """Name of a folder, with its slash, that is deleted with all objects in it at the end."""
        full = f"{PREFIX}/{self.run}/{name}/"

        def delete() -> None:
            for found in list(self.store.list(full)):
                self.store.delete(found.name)

        self.cleaning(f"objects in {full}", delete)
        return full

    def table_name(self, name: str) -> str:
        """Name of a table of the configured dataset that is deleted at the end.

        Raises:
            NotTriedError: there is no such dataset yet.
        """
        if not self.has_dataset:
            raise NotTriedError(
                f"the dataset {self.settings.dataset} does not exist yet; a run makes it"
            )
        full = f"genaiops_probe_{self.run}_{name}"
        table = self.warehouse.table_id(full)
        self.cleaning(
            f"table {table}", lambda: self.bigquery.delete_table(table, not_found_ok=True)
        )
        return full

    @functools.cached_property
    def has_dataset(self) -> bool:
        """Whether the configured dataset exists."""
        from google.api_core.exceptions import NotFound

        try:
            self.bigquery.get_dataset(self.settings.dataset)
        except NotFound:
            return False
        return True

    @property
    def prices(self) -> PriceList:
        """Google's prices of today."""
        return PriceList(self.clock.now())

    def living(self) -> list[BaseModel]:
        """The models that are served by the facts, the cheapest first; unpriced ones at the end."""
        today = self.clock.today()

        def price(model: BaseModel) -> float:
            usd = token_cost(model.name, 1000, 1000, prices=self.prices)
            return float("inf") if usd is None else usd

        found = [
            model
            for model in model_facts().models.values()
            if model.locations and availability(model.name, today).standing != "retired"
        ]
        return sorted(found, key=price)

    def cheapest(self, fits: Callable[[BaseModel], object] = lambda _: True) -> BaseModel:
        """The cheapest served model of which `fits` is true.

        Raises:
            NotTriedError: there is none.
        """
        for model in self.living():
            if fits(model):
                return model
        raise NotTriedError("the facts have no such model that is served today")

    def ask(self, model: str, contents: Any, **config: Any) -> types.GenerateContentResponse:
        """One short answer, booked by what the service says that it used.

        Args:
            model: Name of a base model, or resource name of an endpoint.
            contents: As the Gen AI SDK takes them.
            config: Fields of `GenerateContentConfig`.

        Raises:
            NotTriedError: all short answers together would cost more than `SMALL_USD`.
        """
        from google.genai import types

        given = {"max_output_tokens": _ANSWER_TOKENS, **config}
        base = model if "/" not in model else self.cheapest().name
        most = token_cost(
            base, 200, given["max_output_tokens"], tuned="/" in model, prices=self.prices
        )
        if self.spent_usd + (most or 0.0) > SMALL_USD + (self.spend_usd or 0.0):
            raise NotTriedError(f"answers have cost {self.spent_usd:.4f} USD, which is enough")
        response = self.client(model).models.generate_content(
            model=model, contents=contents, config=types.GenerateContentConfig(**given)
        )
        usage = response.usage_metadata
        if usage is not None:
            self.book(
                token_cost(
                    base,
                    usage.prompt_token_count or 0,
                    (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
                    tuned="/" in model,
                    prices=self.prices,
                )
            )
        return response

    def book(self, usd: float | None) -> None:
        """Count something as spent."""
        self.spent_usd += usd or 0.0


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer of Google's clients that is an error; None of another error."""
    code = getattr(error, "code", None)
    code = code() if callable(code) else code
    value = getattr(code, "value", code)
    return value if isinstance(value, int) else None


@contextlib.contextmanager
def refused(status: int, *words: str) -> Iterator[list[str]]:
    """A block that Google is to refuse with an HTTP status and a message with these words.

    Yields:
        A list that has the message after the block.

    Raises:
        DiffersError: it was not refused, or with another status or message.
    """
    message: list[str] = []
    try:
        yield message
    except (DiffersError, NotTriedError):
        raise
    except Exception as error:
        found = status_of(error)
        text = str(getattr(error, "message", None) or error)
        if found is None:
            raise
        if found != status or not all(word.lower() in text.lower() for word in words):
            raise DiffersError(f"{found}: {text}") from error
        words_of_google = re.sub(r"^(GET|POST|PUT|PATCH|DELETE) \S+: ", "", text.splitlines()[0])
        message.append(f"{found}: {words_of_google}")
        return
    raise DiffersError(f"it was not refused; {status} was expected")
