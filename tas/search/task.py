"""What a search works on, made from its options: by the search itself, and by what looks at it afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
from torch import nn

from tas.config import SearchOptions
from tas.config.files import read_yaml
from tas.config.parsing import from_values
from tas.config.targets import Target
from tas.cost.budget import Budget
from tas.cost.measures import MEASURES, Measure
from tas.cost.targets import budgets_for, shares_of
from tas.cutting.importance import sorted_by_importance
from tas.data.images import SearchData
from tas.data.opening import open_dataset
from tas.errors import TasError, blame, explained
from tas.inputs.torch_file import read_torch
from tas.networks import check_name, open_network
from tas.networks.weights import versioned
from tas.reading.original import normalise_as, original_for
from tas.runs.console import say_code, warn, warn_uncounted
from tas.runs.files import written_whole
from tas.runs.run import Run
from tas.runs.weights_file import torch_bytes
from tas.search.module import SearchModule
from tas.space.of_network import check_cuts
from tas.space.peak_memory import peak_for
from tas.space.space import SearchSpace
from tas.supernet.check import check_masked, check_supernet, same_numbers
from tas.supernet.supernet import Supernet
from tas.timing.latency_model import PredictedLatency, known_measures, predicted_for
from tas.timing.promise import LatencyPromise, promise_of
from tas.timing.stopwatch import Subject


@dataclass(frozen=True)
class SearchTask:
    """A network, what can be chosen of it, what it may cost, and the images that decide."""

    options: SearchOptions
    network: nn.Module
    """The unpruned network, with the weights that the search starts from."""
    space: SearchSpace
    budgets: tuple[Budget, ...]
    halves: SearchData
    source: str
    """Where the weights are from, in words."""
    predicted: PredictedLatency | None = None
    """What latencies are predicted by, where one is aimed at."""
    peak: Measure | None = None
    """The peak memory, where one is aimed at."""

    @property
    def measures(self) -> Mapping[str, Measure]:
        """Name -> measure, of all that are known."""
        return known_measures(self.predicted, self.peak)

    def full(self, measure: Measure) -> int:
        """What the unpruned network costs."""
        return measure.exact(self.space.plan, self.space.full)

    @property
    def shares(self) -> dict[str, float]:
        """Measure -> the share of the unpruned network's cost that is aimed at."""
        return shares_of(self.options.target, self.space.plan, self.space.full, self.measures)

    def promise(self) -> LatencyPromise | None:
        """What holds a budget of latency to what is measured, where there is one."""
        plan, full = self.space.plan, self.space.full
        return promise_of(self.options.target, self.budgets, self.predicted, Subject(self.network, plan, full))

    def module(self) -> SearchModule:
        """The search, at its start."""
        options = self.options
        supernet = Supernet(self.network, self.space, options.strategy.align)
        seed, compiled = options.keeping.seed, options.compile
        return SearchModule(supernet, self.budgets, options.recipe, options.strategy, seed, compiled)


def open_search(options: SearchOptions) -> SearchTask:
    """What a search works on; the generators are seeded on the way.

    Raises:
        TasError: Something of it cannot be had or does not go together.
    """
    name, seed = options.source.name, options.keeping.seed
    with blame("--network"):
        check_name(name)
    pl.seed_everything(seed, workers=True, verbose=False)
    data = open_dataset(options.dataset, options.recipe, options.machine, seed)
    how = options.strategy
    sandwich = how.strategy == "sandwich"
    halves = SearchData(data, seed, how.held_out if sandwich else 0.5, by_turns=not sandwich)
    original = original_for(data, options.source)
    network = original.network
    space = SearchSpace.of(original.plan, original.full, options.space)
    with blame("--network"):
        check_cuts(network, space, data.input_shape)
        check_supernet(network, space, how.align)
    if how.compute in ("masked", "captured") or options.compile:
        # As masked as sliced, the search starts from the same numbers.
        with blame("--compile" if options.compile else "--compute"), same_numbers():
            check_masked(Supernet(network, space, how.align))
    source = original.source
    if original.trained and options.init == "scratch":
        network, source = open_network(name, data.num_classes, data.in_channels), "fresh weights"
    elif original.trained:
        network.load_state_dict(versioned(sorted_by_importance(network.state_dict(), original.plan), network))
    predicted = predicted_for(options.target, options.timing, network, space)
    peak = peak_for(options.target, network, space)
    budgets = budgets_of(options.target, space, known_measures(predicted, peak))
    if not sandwich and how.samples == 1 and options.space.search != "depth":
        warn("search", "with --samples 1 the loss gives the widths no gradient; only the cost moves them")
    if space.plan.widths and not any(layer.norm for layer in space.plan.layers):
        warn("search", f"{name} has no batch norm after any layer that is searched; widths are compared without one")
    warn_uncounted("search", name, network, data.input_shape)
    return SearchTask(options, network, space, budgets, halves, source, predicted, peak)


def budgets_of(target: Target, space: SearchSpace, measures: Mapping[str, Measure] = MEASURES) -> tuple[Budget, ...]:
    """The budgets of a search, one for each target.

    Args:
        target: What is aimed at.
        space: The candidates.
        measures: Name -> measure, of all that have a target.

    Raises:
        TasError: A target is above what the unpruned network costs, or the space has nothing as small.
    """
    budgets = budgets_for(target, space.plan, space.full, measures)
    for budget, amount in zip(budgets, target.amounts().values()):
        cost = budget.measure
        full, smallest = cost.exact(space.plan, space.full), cost.exact(space.plan, space.smallest())
        if smallest > budget.high:
            raise TasError(
                f"--{cost.name}-target {amount}: the smallest network that this search can find keeps "
                f"{smallest / full:.4f} of the {cost.words} of {space.full.network}, {cost.write(smallest)}; give at "
                "least that, or --ratios with smaller shares"
            )
    return budgets


def keep_checkpoint(run: Run, module: SearchModule) -> None:
    """Keep a search that trained nothing as others are kept by Lightning, for `reopen_search`."""
    run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(run.checkpoint) as draft:
        draft.write_bytes(torch_bytes({"state_dict": module.state_dict()}))


def reopen_search(run: Run, **elsewhere: Any) -> tuple[SearchTask, SearchModule]:
    """A finished search, as its last epoch left it. TasError if the run holds none.

    Args:
        run: The search's.
        elsewhere: Options that are others by now: where its data are, or what computes.
    """
    if not (run.finished() and run.checkpoint.is_file()):
        raise TasError(f"{run.path}: not a finished search; it lacks metrics.json or {run.checkpoint.name}")
    options = from_values("search", SearchOptions, read_yaml(str(run.config), run.config))
    for name in filter(None, (options.source.name, options.recipe.loss)):
        say_code(name, run.config)
    # The weights that it started from may be gone; its own take their place.
    fresh = {"pretrained": False, "weights": None, "init": "scratch", "epochs": max(1, options.recipe.epochs)}
    task = replace(open_search(options.changed(**fresh, **elsewhere)), options=options.changed(**elsewhere))
    normalise_as(task.halves.data, options.source)
    module = task.module()
    try:
        module.load_state_dict(read_torch(run.checkpoint)["state_dict"])
    except Exception as error:  # torch raises what it likes
        raise TasError(f"{run.checkpoint}: not what this search left ({explained(error)})") from None
    return task, module
