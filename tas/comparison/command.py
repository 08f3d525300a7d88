"""`tas compare`: methods at equal cost, trained by the same trainer, over seeds."""

from collections.abc import Sequence
from typing import Any, cast

import yaml

from tas.architecture import Architecture
from tas.comparison.agreement import FoundBySeeds, agreements
from tas.comparison.aims import Aim
from tas.comparison.evidence import Evidence
from tas.comparison.jobs import Job, list_jobs
from tas.comparison.machine import this_machine
from tas.comparison.methods import check_methods, methods_of
from tas.comparison.perform import check_same_networks, check_unchanged, ready
from tas.comparison.remarks import remarks
from tas.comparison.report import write_report
from tas.comparison.rows import read_rows
from tas.comparison.scheduler import executor_for, run_all
from tas.config import CompareOptions, SearchOptions
from tas.config.files import read_yaml
from tas.config.groups import Space
from tas.config.targets import Target
from tas.cost.targets import check_below_full
from tas.data.opening import open_dataset
from tas.errors import TasError, blame
from tas.networks import check_name
from tas.reading.original import Original, original_for
from tas.runs.console import say
from tas.runs.files import write_text
from tas.runs.lock import LOCK, locked
from tas.runs.run import Run, plain
from tas.space.peak_memory import peak_for
from tas.space.space import SearchSpace
from tas.timing.latency_model import known_measures, predicted_for


def compare(options: CompareOptions) -> None:
    """Carry out all runs that are not finished, write what they show, print the table.

    Raises:
        TasError: An option is wrong, the directory holds something else, or a run failed; then the report has what
            there is.
    """
    with blame("--network"):
        check_name(options.source.name)
    check_methods(options)
    jobs = list_jobs(options)
    home = Run(str(options.output))
    check_home(home, jobs)
    original = open_unpruned(options)
    check_targets(options, original)
    with locked(home.path):
        start_home(home, options)
        for sentence in remarks(options, jobs):
            say(sentence)
        say(f"{len(jobs)} runs in {home.path}, {sum(job.run.finished() for job in jobs)} of them finished before")
        with executor_for(options) as executor:
            outcome = run_all(jobs, executor, None if options.ray else options.jobs, say)
        check_same_networks(jobs)  # once more: structures may have been found anew
        alike = agreements(found_networks(options, jobs, original), options.targets.tolerance)
        evidence = Evidence(options, jobs, read_rows(jobs, home.path), alike, outcome, this_machine(options))
        say(f"\n{write_report(evidence)}\nreport: {home.path / 'report.md'}")
    if outcome.failed:
        names = "; ".join(outcome.failed)
        raise TasError(f"{len(outcome.failed)} of {len(jobs)} runs failed: {names}; the same command tries them again")


def check_home(home: Run, jobs: Sequence[Job]) -> None:
    """TasError if the directory holds something else, or runs that were made with other options."""
    if home.path.exists():
        empty = home.path.is_dir() and not any(path.name != LOCK for path in home.path.iterdir())
        if not empty and not (home.config.is_file() and "methods" in read_yaml(str(home.config), home.config)):
            raise TasError(f"--output {home.path}: holds something else than a comparison; give another directory")
    for job in jobs:
        # How long scratch-b trains follows from its structure, which may have been deleted to be found anew.
        if not job.training.startswith("scratch-b") or Run(job.needs[0]).finished():
            check_unchanged(ready(job))
    check_same_networks(jobs)


def start_home(home: Run, options: CompareOptions) -> None:
    """Write the options into the directory. TasError if it cannot be written."""
    try:
        home.metrics.unlink(missing_ok=True)  # not finished any more, if runs were added
        write_text(home.config, yaml.safe_dump(plain(options.flat()), sort_keys=False))
    except OSError as error:
        raise TasError(f"--output {home.path}: cannot be written ({error.strerror})") from None


def open_unpruned(options: CompareOptions) -> Original:
    """The unpruned network as the data set needs it. Both are tried, and data fetched, before any run needs them."""
    data = open_dataset(options.dataset, options.recipe, options.machine, options.seeds[0])
    return original_for(data, options.source)


def check_targets(options: CompareOptions, original: Original) -> None:
    """TasError if a target is above what the unpruned network costs, or cannot be had of it.

    A latency is measured for that, of layers and whole networks, which the runs then find in the cache.
    """
    space = SearchSpace.of(original.plan, original.full)
    for aim in options.targets.aims():
        given: dict[str, Any] = {f"{measure}_target": amount.given for measure, amount in aim.items()}
        target = Target(**given)
        predicted = predicted_for(target, options.timing, original.network, space)
        measures = known_measures(predicted, peak_for(target, original.network, space))
        for measure, amount in aim.items():
            check_below_full(f"{measure}_targets", measures[measure], amount, original.plan, original.full)


def found_networks(options: CompareOptions, jobs: Sequence[Job], original: Original) -> list[FoundBySeeds]:
    """What each method found with two seeds or more, unless it always finds the same, as uniform does, or no random
    networks are drawn at what it aims at: latency, peak memory, several at once."""
    known = methods_of(options)
    groups: dict[tuple[str, Aim], list[Job]] = {}
    for job in jobs:
        if job.kind == "structure" and job.aim.counted and job.run.finished():
            own = known[job.method]
            if not (own.seedless or own.leaves_zeros):
                groups.setdefault((job.method, job.aim), []).append(job)
    found = []
    for (method, aim), group in groups.items():
        networks = [Architecture.load(job.run.architecture) for job in group]
        if len(networks) > 1:
            found.append(
                FoundBySeeds(method, aim.measure, group[0].share, space_for(group[0], original, networks), networks)
            )
    return found


def space_for(job: Job, original: Original, networks: Sequence[Architecture]) -> SearchSpace:
    """What a method could choose from: a search's own space; else the default one, in as far as it was made use of.

    Equal widths where identity shortcuts add are the default, and what the other methods are bound to.
    """
    plan, full = original.plan, original.full
    if isinstance(job.options, SearchOptions):
        return SearchSpace.of(plan, full, job.options.space)
    narrower = any(network.widths != full.widths for network in networks)
    shallower = any(network.depths != full.depths for network in networks)
    searched = {(True, False): "width", (False, True): "depth"}.get((narrower, shallower), "both")
    return SearchSpace.of(plan, full, Space(search=cast(Any, searched)))
