"""What a search works on, made from its options: by the search itself, and by what looks at it afterwards."""

from dataclasses import dataclass

import pytorch_lightning as pl
from torch import nn

from tas.architecture import Architecture
from tas.config import SearchOptions
from tas.cost.budget import Budget
from tas.cost.count import exact_flops
from tas.cutting.importance import sorted_by_importance
from tas.data.images import SearchData
from tas.data.opening import data_of
from tas.errors import TasError, blame
from tas.networks import check_name, open_network
from tas.reading.original import open_original
from tas.reading.plan import Plan
from tas.reading.residuals import tie_residuals
from tas.runs.console import warn, warn_uncounted
from tas.search.module import SearchModule
from tas.space.of_network import check_cuts
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet


@dataclass(frozen=True)
class SearchTask:
    """A network, what can be chosen of it, what it may cost, and the images that decide."""

    options: SearchOptions
    network: nn.Module
    """The unpruned network, with the weights that the search starts from."""
    plan: Plan
    """Its structure, every width by itself."""
    space: SearchSpace
    budget: Budget
    halves: SearchData
    source: str
    """Where the weights are from, in words."""

    @property
    def flops_full(self) -> int:
        """Multiply-adds of the unpruned network."""
        return exact_flops(self.plan, self.space.full)

    def module(self) -> SearchModule:
        """The search, at its start."""
        options = self.options
        return SearchModule(
            Supernet(self.network, self.space, options.align),
            self.budget,
            epochs=options.epochs,
            samples=options.samples,
            depth_training=options.depth_training,
            cost_weight=options.cost_weight,
            warmup=options.warmup,
            unpruned_first=options.unpruned_first,
            tau=(options.tau_start, options.tau_end),
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            arch_optimizer=options.arch_optimizer,
            arch_lr=options.arch_lr,
            arch_weight_decay=options.arch_weight_decay,
            seed=options.seed,
        )


def open_search(options: SearchOptions) -> SearchTask:
    """What a search works on; the generators are seeded on the way.

    Raises:
        TasError: Something of it cannot be had or does not go together.
    """
    with blame("--network"):
        check_name(options.network)
    pl.seed_everything(options.seed, workers=True, verbose=False)
    data = data_of(options, options.data, options.data_dir)
    halves = SearchData(data, options.seed)
    original = open_original(
        options.network, options.pretrained, options.weights, data.num_classes, data.in_channels, data.image_size
    )
    network, plan, full = original.network, original.plan, original.full
    space = space_of(options, plan, full)
    input_shape = (data.in_channels, data.image_size, data.image_size)
    with blame("--network"):
        check_cuts(network, space, input_shape)
    source = original.source
    if original.trained and options.init == "scratch":
        network, source = open_network(options.network, data.num_classes, data.in_channels), "fresh weights"
    elif original.trained:
        network.load_state_dict(sorted_by_importance(network.state_dict(), plan))
    flops_full = exact_flops(plan, full)
    budget = Budget(options.flops_target * flops_full, options.tolerance)
    smallest = exact_flops(plan, space.smallest()) / flops_full
    if smallest * flops_full > budget.high:
        raise TasError(
            f"--flops-target {options.flops_target:g}: the smallest network that this search can find keeps "
            f"{smallest:.4f} of the FLOPs of {options.network}; give at least that, or --ratios with smaller shares"
        )
    if options.samples == 1 and options.search != "depth":
        warn("search", "with --samples 1 the loss gives the widths no gradient; only the cost moves them")
    if plan.widths and not any(layer.norm for layer in plan.layers):
        warn(
            "search",
            f"{options.network} has no batch norm after any layer that is searched; widths are mixed without one",
        )

    warn_uncounted("search", options.network, network, input_shape)
    return SearchTask(options, network, plan, space, budget, halves, source)


def space_of(options: SearchOptions, plan: Plan, full: Architecture) -> SearchSpace:
    """What a search with these options chooses from.

    Args:
        options: Those of the search.
        plan: The structure of the unpruned network, every width by itself.
        full: Its widths and depths.
    """
    return SearchSpace.of(
        tie_residuals(plan) if options.residuals == "tied" else plan,
        full,
        options.ratios,
        options.search != "depth",
        options.search != "width",
        options.round_to,
        options.exclude,
    )
