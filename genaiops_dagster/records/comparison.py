"""The comparison's records: a leaderboard, and differences on the same rows."""

from __future__ import annotations

from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import CHAMPION


class Difference(Record):
    """How much better one candidate is than another on the rows that both have.

    Attributes:
        metric, challenger, baseline: What is compared.
        difference: Mean of challenger's score minus baseline's.
        low, high: Bounds of its confidence interval.
        p_value: Two-sided, of no difference.
        p_adjusted: The same after Holm's correction for all differences in this metric.
        rows: Pairs of rows; too few for an interval leaves low, high and p values None.
        method: Name of the test.
        wins, losses: Rows on which the challenger scores higher, and lower.
        minimum_detectable: Smallest true difference that this number of rows finds with 80 % power.
        slice_name, slice_value: Only rows of this slice; empty: all rows.
    """

    metric: str
    challenger: str
    baseline: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    rows: int
    method: str
    wins: int = 0
    losses: int = 0
    minimum_detectable: float | None = None
    slice_name: str = ""
    slice_value: str = ""

    def reversed(self) -> Difference:
        """The same difference seen from the baseline."""
        return self.model_copy(
            update={
                "challenger": self.baseline,
                "baseline": self.challenger,
                "difference": _negated(self.difference),
                "low": _negated(self.high),
                "high": _negated(self.low),
                "wins": self.losses,
                "losses": self.wins,
            }
        )


def _negated(value: float | None) -> float | None:
    return None if value is None else 0.0 - value  # never -0.0


class Comparison(Record):
    """All candidates of a use case on the same rows.

    Attributes:
        id: sha256 over the reports; the same reports give the same comparison.
        champion: The champion's name here: that of the candidate that it is, or `champion`
            when it is not a candidate; None before the first promotion.
        champion_number: Its number.
        confidence: Level of all intervals.
        leaderboard: Reports, best first by the primary metric.
        differences: Every pair of candidates in every metric, each pair once.
        slice_differences: Of the challenger in the slices that the gate's rules name.
        pareto: Names of the candidates that no other beats in quality, cost and latency at once.
        created: When the newest of the reports was made, ISO 8601 in UTC.
    """

    id: str
    use_case: str
    primary_metric: str
    confidence: float
    evaluation_digest: str
    prompt_digest: str
    judge_digest: str
    leaderboard: list[EvaluationReport]
    differences: list[Difference]
    slice_differences: list[Difference]
    pareto: list[str]
    champion: str | None
    champion_number: int | None
    created: str

    def digest(self) -> str:
        """sha256 over all figures; who is champion does not change them."""
        return fingerprint(self.model_dump(mode="json", exclude={"champion", "champion_number"}))

    def name_of(self, candidate: str) -> str | None:
        """The name of `candidate` here; the champion may be one of the candidates."""
        return self.champion if candidate == CHAMPION else candidate

    def report(self, candidate: str) -> EvaluationReport | None:
        """The report of a candidate or of `champion`, or None when it was not compared."""
        name = self.name_of(candidate)
        return next((r for r in self.leaderboard if r.candidate == name), None)

    def difference(self, metric: str, challenger: str, baseline: str) -> Difference | None:
        """The difference of two candidates in `metric`, or None when it was not computed."""
        pair = (self.name_of(challenger), self.name_of(baseline))
        for found in self.differences:
            if found.metric == metric and (found.challenger, found.baseline) == pair:
                return found
            if found.metric == metric and (found.baseline, found.challenger) == pair:
                return found.reversed()
        return None

    def slices(self, metric: str, name: str, challenger: str, baseline: str) -> list[Difference]:
        """Differences of two candidates in `metric`, one for each value of a slice."""
        pair = (self.name_of(challenger), self.name_of(baseline))
        return [
            found
            for found in self.slice_differences
            if (found.metric, found.slice_name) == (metric, name)
            and (found.challenger, found.baseline) == pair
        ]
