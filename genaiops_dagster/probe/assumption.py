"""An assumption about Google, and the result of checking it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from genaiops_dagster.probe.bench import Bench
from genaiops_dagster.probe.outcome import Outcome

Service = Literal[
    "Cloud Storage", "BigQuery", "Models", "Caches", "Evaluation", "Tuning", "Batch", "Registry",
    "Pipelines", "Metadata", "Project",
]  # fmt: skip

NO_SOURCE = "no source was found"
"""In place of an address, where nobody has written down what is assumed."""


@dataclass(frozen=True)
class Assumption:
    """Something that Google does, and that the product relies on.

    Attributes:
        id: Short name, `<service>.<what>`, which stays the same from release to release.
        service: Whose behaviour it is.
        assumed: What is assumed; a sentence without a full stop.
        source: Address of the source, or `NO_SOURCE`.
        breaks: What breaks in this product if it is wrong.
        check: Tries it, and says what was seen. Raises `DiffersError` or `NotTriedError`.
        spends: Whether it needs a job that costs money, which `--spend` has to allow.
    """

    id: str
    service: Service
    assumed: str
    source: str
    breaks: str
    check: Callable[[Bench], str]
    spends: bool = False


@dataclass(frozen=True)
class Result:
    """The result of checking one assumption; `seen` is what was seen, or why it was not tried."""

    assumption: Assumption
    outcome: Outcome
    seen: str
