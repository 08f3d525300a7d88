"""Whether the searches of a comparison could see: what `tas search --rank` measured of each."""

from collections.abc import Iterable
from dataclasses import dataclass

from tas.comparison.jobs import Job
from tas.comparison.work import metrics_of


@dataclass(frozen=True)
class RankCorrelation:
    """How well one search's supernet ranks random networks of the same cost."""

    method: str
    target: float
    """FLOPs aimed at, as a share of the unpruned network's."""
    seed: int
    networks: int
    """How many were ranked."""
    kendall_tau: float | None
    """1 for the order in which training alone ranks them, 0 for none; None where all were judged equal."""
    p_value: float | None
    """Probability of one as strong without any correlation."""


def rank_correlations(jobs: Iterable[Job]) -> list[RankCorrelation]:
    """Those of the finished searches that were asked for one."""
    found = []
    for job in jobs:
        measured = metrics_of(job.run) if job.kind == "structure" and job.run.finished() else {}
        if "kendall_tau" in measured:
            tau, p_value = measured["kendall_tau"], measured["kendall_p_value"]
            found.append(RankCorrelation(job.method, job.target, job.seed, measured["ranked"], tau, p_value))
    return found
