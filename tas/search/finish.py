"""The end of a search: from what it has learned to one network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from tas.architecture import Architecture
from tas.cost.budget import Budget, all_hold
from tas.cost.measures import MEASURES
from tas.cutting.cut import cut
from tas.data.loaders import Batch
from tas.errors import TasError
from tas.runs.processes import gathered, made_by_first
from tas.runs.results import TimedLatency
from tas.search.conclusion import Conclusion, Scored, conclude
from tas.search.module import SearchModule
from tas.space.derivation import reachable
from tas.space.peak_memory import peak_of
from tas.timing.promise import LatencyPromise
from tas.training.synchronised import SynchronisedNorms


@dataclass(frozen=True)
class Found:
    """What a search found."""

    architecture: Architecture
    """The best one inside all budgets; where there is none, the one nearest to the targets."""
    network: nn.Module
    """The network of that architecture, with the weights that the supernet has for it."""
    met: bool
    """Whether the architecture is inside all budgets."""
    costs: Mapping[str, int]
    """Measure -> what the architecture costs, of all measures."""
    reachable: tuple[int, ...] | None
    """Where a single budget, of what is counted, is not met: the costs next to its target that the space does hold."""
    timed: TimedLatency | None
    """What was measured of its latency, where there is a budget of that."""
    peak: int | None
    """The bytes of its peak memory, counted, where there is a budget of that."""
    conclusion: Conclusion
    """What it was chosen by: distributions, and, where the strategy measures scores, how sure they are."""


def finish_search(
    module: SearchModule,
    network: nn.Module,
    budgets: Sequence[Budget],
    images: Iterable[object],
    device: torch.device = torch.device("cpu"),  # noqa: B008  # a value
    judging: Callable[[], Iterable[Batch]] | None = None,
    promise: LatencyPromise | None = None,
) -> Found:
    """Choose the architecture, set the supernet to it, take its norms' statistics anew, and cut the network out.

    Args:
        module: The search, at its end.
        network: The unpruned network that it was made of.
        budgets: Those of the search.
        images: Training batches (images, ...), for the statistics.
        device: Where these are computed.
        judging: Makes batches (images, labels) that the weights have not seen, drawn at random, the same each time; the
            strategy sandwich asks networks by them, the others need none.
        promise: Measures latency, where one of the budgets is of that.

    Raises:
        TasError: The strategy asks networks, and `judging` is missing.
    """
    if module.strategy.measures_scores and judging is None:
        raise TasError("judging is missing: images by which networks are asked, which their weights have not seen")
    module.supernet.float().to(device).compute_by("sliced")
    # All processes ask, by the same images, so that none has to wait long; what counts is what the first one found.
    first = gathered(module.strategy.conclude(budgets, judging or tuple, device))[0]
    return hand_over(module, network, budgets, first, images, device, promise)


def hand_over(
    module: SearchModule,
    network: nn.Module,
    budgets: Sequence[Budget],
    conclusion: Conclusion,
    images: Iterable[object],
    device: torch.device,
    promise: LatencyPromise | None = None,
) -> Found:
    """The network of a conclusion, with the supernet's weights; of another one where the latency asks for that.

    The running statistics of a search are those of many sampled networks; the one that is found needs its own. The
    supernet ends on the device, in single precision, set to what was found. Arguments as for `finish_search`.
    """
    supernet, space = module.supernet.float().to(device), module.supernet.space
    supernet.compute_by("sliced")
    timed = None
    if promise is not None:
        again = partial(conclude_again, module, conclusion, budgets)
        conclusion, timed = made_by_first(
            lambda: promise.keep(again, lambda one: one.architecture, space.plan, budgets)
        )
    found = conclusion.architecture
    supernet.force(found)
    with SynchronisedNorms():
        update_bn(images, supernet, device)
    small = cut(network, space.plan, found, supernet.weights(found))
    limits = [budget for budget in budgets if budget.measure.maximum]
    peak = peak_of(small, space.full) if limits else None
    # What is measured counts, and not what is predicted of it.
    predicted = [budget for budget in budgets if budget not in limits and (not promise or budget != promise.budget)]
    met = (
        all_hold(predicted, space.plan, found)
        and (peak is None or all(budget.holds(peak) for budget in limits))
        and (promise is None or timed is None or promise.kept(timed))
    )
    return Found(
        architecture=found,
        network=small,
        met=met,
        costs={name: measure.exact(space.plan, found) for name, measure in MEASURES.items()},
        timed=timed,
        peak=peak,
        reachable=None if met or promise is not None or len(budgets) > 1 else reachable(space, budgets[0]),
        conclusion=conclusion,
    )


def conclude_again(
    module: SearchModule, first: Conclusion, asked: Sequence[Budget], budgets: Sequence[Budget]
) -> Conclusion:
    """What has been learned, asked for other budgets: nothing is measured anew.

    Args:
        module: The search, at its end.
        first: What it came to.
        asked: For which budgets.
        budgets: Those that count now.
    """
    if list(budgets) == list(asked):
        return first
    if first.probes:
        return conclude(Scored(module.supernet.space, first.probes), budgets, first.draws, first.seed)
    return module.strategy.conclude(budgets, tuple, torch.device("cpu"))
