"""A judge compared with people: how well its ratings agree with theirs on the same answers.

People's ratings are JSON lines, in a file next to the use case files or in the bucket, one rating
each: `{"metric": ..., "rating": ..., "prompt": ..., "reference": ..., "response": ...}`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from genaiops_dagster.evaluation.judging.judge import Rated
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.evaluation import Agreement
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import EXTRA_FOLDER_VARIABLE
from genaiops_dagster.use_case.evaluation import Judge


class LabelsError(ValueError):
    """People's ratings cannot be used; the message names file, line and remedy."""


class Label(Record):
    """A person's rating of one answer.

    Attributes:
        metric: Judged metric.
        rating: On the metric's scale.
        prompt, reference, response: What the person saw, and what the judge is shown.
        variables: Other fields of the metric's template.
    """

    metric: str
    rating: float
    prompt: str
    response: str
    reference: str = ""
    variables: dict[str, str] = Field(default_factory=dict)

    @property
    def fields(self) -> dict[str, str]:
        """The fields that the judge sees."""
        shown = {"prompt": self.prompt, "reference": self.reference, "response": self.response}
        return self.variables | shown


def find_labels(store: ObjectStore, name: str) -> tuple[str, bytes | None]:
    """Where people's ratings are, and what is there: a file of the user's, else an object."""
    folder = os.environ.get(EXTRA_FOLDER_VARIABLE)
    file = Path(folder or ".") / name
    if folder and file.is_file():
        return str(file), file.read_bytes()
    return store.uri(name), store.read(name)


def read_labels(uri: str, content: bytes | None, judge: Judge) -> list[Label]:
    """People's ratings.

    Raises:
        LabelsError: the object is missing or empty, or a line is wrong.
    """
    if not content:
        raise LabelsError(
            f"{uri}: no ratings; write one JSON line for each, or remove judge.calibration"
        )
    labels = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            label = Label.model_validate(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise LabelsError(f"{uri}, line {number}: {error}") from error
        metric = judge.metrics.get(label.metric)
        if metric is None:
            allowed = ", ".join(judge.metrics)
            raise LabelsError(f"{uri}, line {number}: metric {label.metric!r}, allowed: {allowed}")
        lowest, highest = metric.scale
        if not lowest <= label.rating <= highest:
            raise LabelsError(
                f"{uri}, line {number}: rating {label.rating:g}, allowed: {lowest} to {highest}"
            )
        labels.append(label)
    return labels


def agreement(labels: Sequence[Label], rated: Sequence[Rated]) -> Agreement:
    """How well a judge agrees with people in one metric; its ratings are rounded for kappa.

    `rated` are the ratings of the answers of `labels`, in the same order.

    Source: Cohen 1968, "Weighted kappa", https://doi.org/10.1037/h0026256, with its interval, as
    statsmodels computes it.
    """
    both = [
        (label.rating, found.score)
        for label, found in zip(labels, rated, strict=True)
        if found.score is not None
    ]
    pairs = [(round(theirs), round(ours)) for theirs, ours in both]
    gaps = [ours - theirs for theirs, ours in both]
    kappa = _kappa(pairs)
    return Agreement(
        rows=len(pairs),
        errors=len(labels) - len(pairs),
        exact=sum(a == b for a, b in pairs) / len(pairs) if pairs else None,
        kappa=kappa[0] if kappa else None,
        low=kappa[1] if kappa else None,
        high=kappa[2] if kappa else None,
        bias=sum(gaps) / len(gaps) if gaps else None,
    )


def _kappa(pairs: Sequence[tuple[int, int]]) -> tuple[float, float, float] | None:
    """Kappa and its interval; None where there is no chance agreement to compare with."""
    from statsmodels.stats.inter_rater import cohens_kappa

    levels = range(
        min((min(pair) for pair in pairs), default=0),
        max((max(pair) for pair in pairs), default=0) + 1,
    )
    if len(pairs) < 2 or any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
        return None
    table = [[sum(pair == (a, b) for pair in pairs) for b in levels] for a in levels]
    found = cohens_kappa(table, weights=[*levels], wt="quadratic", return_results=True)
    return float(found.kappa), float(found.kappa_low), float(found.kappa_upp)
