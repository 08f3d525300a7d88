"""Whether the searches of a comparison could see, and chose well: what --rank measured of each."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.stats import combine_pvalues

from tas.comparison.jobs import Job
from tas.comparison.statistics import interval
from tas.runs.results import RankingResult


@dataclass(frozen=True)
class RankCorrelation:
    """How well one search's supernet ranks random networks of the same cost, and where the found one stands."""

    method: str
    measure: str
    target: float
    """What was aimed at, as a share of the unpruned network's."""
    seed: int
    networks: int
    """How many were ranked."""
    kendall_tau: float | None
    """1 for the order in which training alone ranks them, 0 for none; None where all were judged equal."""
    p_value: float | None
    """Probability of one as strong without any correlation."""
    found_accuracy: float
    """Of the network that was found, trained alone like the others, from 0 to 1, on the architecture's half."""
    found_beats: int
    """How many of the random networks it is better than."""
    accuracy_mean: float
    """Of the random networks."""
    accuracy_best: float
    scores_tau: float | None = None
    """As `kendall_tau`, of the scores by which the search chooses."""


def rank_correlations(jobs: Iterable[Job]) -> list[RankCorrelation]:
    """Those of the finished rankings."""
    found = []
    for job in jobs:
        if job.kind == "ranking" and job.run.finished():
            measured = RankingResult.read(job.run)
            found.append(
                RankCorrelation(
                    job.method,
                    job.aim.measure,
                    job.share,
                    job.seed,
                    networks=measured.ranked,
                    kendall_tau=measured.kendall_tau,
                    p_value=measured.kendall_p_value,
                    found_accuracy=measured.found_accuracy,
                    found_beats=measured.found_beats,
                    accuracy_mean=measured.ranked_accuracy_mean,
                    accuracy_best=measured.ranked_accuracy_best,
                    scores_tau=measured.scores_tau,
                )
            )
    return found


@dataclass(frozen=True)
class PooledRanking:
    """The rank correlations of one method and target, over the seeds."""

    method: str
    measure: str
    target: float
    seeds: int
    kendall_tau: float | None
    """Mean over seeds; None, like the next, where one has none."""
    p_value: float | None
    """Two-sided, of the seeds together, by Stouffer's method."""
    gain: float
    """By how much the found networks are better than the mean of the random ones: mean over seeds, from 0 to 1."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval of the gain, by Student's t; None with a single seed."""
    found_beats: int
    networks: int
    """How many random networks the found ones beat, of how many, in all seeds."""
    scores_tau: float | None = None
    """Mean over seeds; None where one has none."""


def pooled_rankings(ranked: Sequence[RankCorrelation]) -> list[PooledRanking]:
    """The rank correlations over seeds, in the order in which methods and targets first come."""
    groups: dict[tuple[str, str, float], list[RankCorrelation]] = {}
    for one in ranked:
        groups.setdefault((one.method, one.measure, one.target), []).append(one)
    return [pooled_ranking(*key, group) for key, group in groups.items()]


def pooled_ranking(method: str, measure: str, target: float, ranked: Sequence[RankCorrelation]) -> PooledRanking:
    """That of some searches of one kind, each with another seed, so with other random networks."""
    both = [(one.kendall_tau, one.p_value) for one in ranked]
    known = [(tau, p_value) for tau, p_value in both if tau is not None and p_value is not None]
    every = len(known) == len(ranked)
    gain, low, high = interval([one.found_accuracy - one.accuracy_mean for one in ranked])
    return PooledRanking(
        method,
        measure,
        target,
        len(ranked),
        statistics.fmean(tau for tau, _ in known) if every else None,
        together(known) if every else None,
        gain,
        low,
        high,
        found_beats=sum(one.found_beats for one in ranked),
        networks=sum(one.networks for one in ranked),
        scores_tau=mean_or_none([one.scores_tau for one in ranked]),
    )


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """The mean; None where one is missing."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def together(known: Sequence[tuple[float, float]]) -> float:
    """Two-sided p-value of several rank correlations (tau, p_value) that should all have the same sign."""
    upper = [p_value / 2 if tau > 0 else 1 - p_value / 2 for tau, p_value in known]
    combined = float(combine_pvalues(upper, method="stouffer").pvalue)
    return 2 * min(combined, 1 - combined)
