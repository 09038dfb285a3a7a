"""Running a probe: each check in turn, its outcome, and a report without names of the project."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from genaiops_dagster.google_cloud.base_models import model_facts
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.probe import (
    batch,
    bigquery,
    caches,
    cloud_storage,
    evaluation,
    models,
    pipelines,
    registry,
    tuning,
)
from genaiops_dagster.probe.assumption import Assumption, Result
from genaiops_dagster.probe.bench import Bench, status_of
from genaiops_dagster.probe.outcome import DiffersError, NotTriedError

ASSUMPTIONS: tuple[Assumption, ...] = (
    *pipelines.PROJECT,
    *cloud_storage.ASSUMPTIONS,
    *bigquery.ASSUMPTIONS,
    *models.ASSUMPTIONS,
    *caches.ASSUMPTIONS,
    *evaluation.ASSUMPTIONS,
    *tuning.ASSUMPTIONS,
    *batch.ASSUMPTIONS,
    *registry.ASSUMPTIONS,
    *pipelines.ASSUMPTIONS,
)
"""All that the product assumes about Google, in the order in which it is checked."""

_PASSING = {401, 403, 408, 429, 499}
_NEEDS_MONEY = "it needs a job that costs money; `--spend` allows that"


def jobs_usd(bench: Bench) -> float:
    """What all checks with jobs cost together at most, in US dollars, at the product's prices.

    Raises:
        NotTriedError: a price is not known.
    """
    return tuning.job_usd(bench) + batch.batch_usd(bench) + pipelines.RUN_USD


def run_probe(
    bench: Bench, assumptions: Sequence[Assumption], begins: Callable[[Assumption], None]
) -> Iterator[Result]:
    """The result of each check, one after another.

    Args:
        bench: What they work with; open.
        assumptions: What to check.
        begins: Called before each check.
    """
    for assumption in assumptions:
        begins(assumption)
        if assumption.spends and bench.spend_usd is None:
            yield Result(assumption, "not tried", _NEEDS_MONEY)
        else:
            yield check(bench, assumption)


def check(bench: Bench, assumption: Assumption) -> Result:
    """The result of one check.

    What fails for lack of a right, of room or of a network says nothing about the assumption: it
    was not tried.
    """
    try:
        return Result(assumption, "holds", assumption.check(bench))
    except DiffersError as error:
        return Result(assumption, "differs", _first_line(error))
    except NotTriedError as error:
        return Result(assumption, "not tried", _first_line(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was seen
        seen = f"{type(error).__name__}: {_first_line(error)}"
        return Result(assumption, "not tried" if _says_nothing(error) else "differs", seen)


def _says_nothing(error: Exception) -> bool:
    import httpx
    import requests
    from google.api_core.exceptions import RetryError
    from google.auth.exceptions import GoogleAuthError

    status = status_of(error)
    if status is not None:
        return status in _PASSING or status >= 500
    unreachable = (
        OSError, httpx.TransportError, requests.RequestException, GoogleAuthError, RetryError,
    )  # fmt: skip
    return isinstance(error, unreachable)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def report(
    results: Iterable[Result],
    settings: GoogleCloudSettings,
    *,
    day: str,
    release: str,
    emulated: bool,
    spent_usd: float,
) -> dict[str, Any]:
    """The results as JSON for a bug report, without names of the project.

    Args:
        results: What was found.
        settings: What has to be left out.
        day: The day of the probe, ISO 8601.
        release: Version of this package.
        emulated: Whether the emulator was asked.
        spent_usd: What it has cost, at Google's prices.
    """
    found = list(results)
    return {
        "schema_version": "1.0",
        "release": release,
        "day": day,
        "emulated": emulated,
        "facts_as_of": model_facts().as_of.isoformat(),
        "location": settings.location,
        "bigquery_location": settings.bigquery_location,
        "spent_usd": round(spent_usd, 6),
        "counts": {
            outcome: sum(result.outcome == outcome for result in found)
            for outcome in ("holds", "differs", "not tried")
        },
        "results": [
            {
                "id": result.assumption.id,
                "service": result.assumption.service,
                "assumed": result.assumption.assumed,
                "source": result.assumption.source,
                "breaks": result.assumption.breaks,
                "outcome": result.outcome,
                "seen": without_names(result.seen, settings),
            }
            for result in found
        ],
    }


def without_names(text: str, settings: GoogleCloudSettings) -> str:
    """A text with placeholders for project, bucket, dataset, accounts, addresses and numbers."""
    known = [
        (settings.vertex_url or "", "ADDRESS"),
        (settings.bucket, "BUCKET"),
        (settings.project, "PROJECT"),
        (settings.dataset if settings.dataset != GoogleCloudSettings.dataset else "", "DATASET"),
    ]
    for name, placeholder in sorted(known, key=lambda pair: len(pair[0]), reverse=True):
        if name:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", placeholder, text)
    text = re.sub(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", "E-MAIL", text)
    text = re.sub(r"\bgs://[^/\s'\"`]+", "gs://BUCKET", text)
    text = re.sub(r"\bprojects/[^/\s'\"`:]+", "projects/PROJECT", text)
    return re.sub(r"\b\d{6,}\b", "NUMBER", text)
