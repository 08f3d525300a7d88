"""The network that each search or pruning of a comparison found, what was measured of it, and how it got there."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tas.architecture import Architecture
from tas.comparison.figures import read_curve
from tas.comparison.jobs import Job
from tas.comparison.perform import commits_of
from tas.comparison.ranking import judged_networks
from tas.runs.results import Result
from tas.runs.run import Run

KEPT_CURVES = ("expected_ratio", "derived_ratio")
"""Scalars of a search, of what it aims at, whose values at the ends of its epochs are kept, beside the confidence."""


@dataclass(frozen=True)
class Structure:
    """One network that was found."""

    method: str
    measure: str
    target: float
    """What was aimed at, as a share of the unpruned network's; of several the first."""
    seed: int
    commit: str
    """The code that found it; all of them, with commas between, if it went on with another."""
    run: str
    """The folder of the search or pruning, in that of the comparison."""
    metrics: dict[str, Any]
    """Its metrics.json."""
    widths: dict[str, int]
    depths: dict[str, int]
    curves: dict[str, list[float]]
    """Of a search: scalar -> its value after each epoch that has one."""
    ranking: list[dict[str, Any]]
    """Of a search that was ranked: both judgements of every network, the found one's last."""
    aimed: str
    """What was aimed at, as it was given."""


def read_structures(jobs: Iterable[Job], home: Path) -> list[Structure]:
    """A row for every finished search or pruning.

    Args:
        jobs: Of the comparison.
        home: Its folder.
    """
    jobs = list(jobs)
    rankings = {job.needs[0]: job.run for job in jobs if job.kind == "ranking" and job.run.finished()}
    found = [job for job in jobs if job.kind == "structure" and job.run.finished()]
    return [read_structure(job, home, rankings.get(job.path)) for job in found]


def read_structure(job: Job, home: Path, ranking: Run | None) -> Structure:
    """The row of a finished search or pruning, and of its finished ranking, where it has one."""
    found = Architecture.load(job.run.architecture)
    scalars = [f"{measure}/{key}" for measure in job.aim.measures for key in KEPT_CURVES]
    curves = {name: read_curve(job.path, name) for name in (*scalars, "confidence/mean")}
    return Structure(
        method=job.method,
        measure=job.aim.measure,
        target=job.share,
        seed=job.seed,
        commit=commits_of(job.run),
        run=job.path.relative_to(home).as_posix(),
        metrics=Result.read(job.run).flat(),
        widths=dict(found.widths),
        depths=dict(found.depths),
        curves={name: list(curve.values()) for name, curve in curves.items() if curve},
        ranking=[asdict(one) for one in judged_networks(ranking).entries] if ranking is not None else [],
        aimed=job.aim.aimed,
    )
