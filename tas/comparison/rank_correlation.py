"""Whether the searches of a comparison could see, and chose well: what `tas search --rank` measured of each."""

from collections.abc import Iterable
from dataclasses import dataclass

from tas.comparison.jobs import Job
from tas.comparison.work import metrics_of


@dataclass(frozen=True)
class RankCorrelation:
    """How well one search's supernet ranks random networks of the same cost, and where the found one stands."""

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
    found_accuracy: float
    """Of the network that was found, trained alone like the others, from 0 to 1, on the architecture's half."""
    found_beats: int
    """How many of the random networks it is better than."""
    accuracy_mean: float
    """Of the random networks."""
    accuracy_best: float


def rank_correlations(jobs: Iterable[Job]) -> list[RankCorrelation]:
    """Those of the finished searches that were asked for one."""
    found = []
    for job in jobs:
        measured = metrics_of(job.run) if job.kind == "structure" and job.run.finished() else {}
        if "found_beats" in measured:
            found.append(
                RankCorrelation(
                    job.method,
                    job.target,
                    job.seed,
                    networks=measured["ranked"],
                    kendall_tau=measured["kendall_tau"],
                    p_value=measured["kendall_p_value"],
                    found_accuracy=measured["found_accuracy"],
                    found_beats=measured["found_beats"],
                    accuracy_mean=measured["ranked_accuracy_mean"],
                    accuracy_best=measured["ranked_accuracy_best"],
                )
            )
    return found
