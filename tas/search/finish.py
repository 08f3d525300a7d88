"""The end of a search: from what it has learned to one network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from tas.architecture import Architecture
from tas.cost.budget import Budget, all_hold
from tas.cost.measures import MEASURES
from tas.cost.tables import Probabilities
from tas.cutting.cut import cut
from tas.search.module import SearchModule
from tas.space.derivation import argmax, derive, reachable


@dataclass(frozen=True)
class Found:
    """What a search found."""

    architecture: Architecture
    """The most probable one inside all budgets; where there is none, the one nearest to the targets."""
    network: nn.Module
    """The network of that architecture, with the weights that the supernet has for it."""
    likeliest: Architecture
    """What the distributions alone would choose, whatever it costs."""
    met: bool
    """Whether the architecture is inside all budgets."""
    costs: Mapping[str, int]
    """Measure -> what the architecture costs, of all measures."""
    reachable: tuple[int, ...] | None
    """Where a single budget is not met: the costs next to its target that the space does hold."""
    widths: Probabilities
    depths: Probabilities
    """The distributions."""


def finish_search(
    module: SearchModule,
    network: nn.Module,
    budgets: Sequence[Budget],
    images: Iterable[object],
    device: torch.device = torch.device("cpu"),  # noqa: B008  # a value
) -> Found:
    """Derive the architecture, set the supernet to it, take its norms' statistics anew, and cut the network out.

    The running statistics of a search are those of many sampled networks; the one that is found needs its own. The
    supernet ends on the device, in single precision, set to what was found.

    Args:
        module: The search, at its end.
        network: The unpruned network that it was made of.
        budgets: Those of the search.
        images: Training batches (images, ...), for the statistics.
        device: Where these are computed.
    """
    supernet, space = module.supernet, module.supernet.space
    widths, depths = module.strategy.probabilities()
    found = derive(space, widths, depths, *budgets)
    met = all_hold(budgets, space.plan, found)
    supernet.force(found)
    update_bn(images, supernet.float().to(device), device)
    return Found(
        architecture=found,
        network=cut(network, space.plan, found, supernet.weights(found)),
        likeliest=argmax(space, widths, depths),
        met=met,
        costs={name: measure.exact(space.plan, found) for name, measure in MEASURES.items()},
        reachable=None if met or len(budgets) > 1 else reachable(space, budgets[0]),
        widths=widths,
        depths=depths,
    )
