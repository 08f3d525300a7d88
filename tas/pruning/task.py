"""What every method is given, and what it hands over."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn

from tas.architecture import Architecture
from tas.config import PruneOptions
from tas.cost.budget import Budget, all_hold
from tas.cost.measures import Measure
from tas.cutting.build import build
from tas.cutting.cut import check_architecture, cut
from tas.cutting.importance import sorted_by_importance
from tas.data.images import ImageData
from tas.data.loaders import Batch
from tas.errors import TasError
from tas.reading.plan import Plan
from tas.runs.results import TimedLatency
from tas.runs.run import Run
from tas.timing.latency_model import PredictedLatency
from tas.timing.promise import LatencyPromise, promise_of
from tas.timing.stopwatch import Subject

JUDGING_IMAGES = 256
"""Training images, at least, by which a method judges what a channel is worth."""


@dataclass(frozen=True)
class PruneTask:
    """A network to make smaller, and by how much."""

    network: nn.Module
    """The unpruned network, on the CPU. Methods leave it as it is."""
    plan: Plan
    """Its structure."""
    full: Architecture
    """Its widths and depths."""
    trained: bool
    """Whether its weights are trained."""
    data: ImageData
    """Methods see its training images alone."""
    budgets: tuple[Budget, ...]
    """One for each target. Only methods that keep several are given more than one."""
    options: PruneOptions
    """Those of the command; methods read the recipe of their training, and their own settings."""
    run: Run
    """Where a method keeps what it goes on from after an interruption. It has been started when the method runs."""
    predicted: PredictedLatency | None = None
    """What latencies are predicted by, where one is aimed at."""
    peak: Measure | None = None
    """The peak memory, where one is aimed at."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.data.input_shape

    @property
    def seed(self) -> int:
        """Of all that the method draws."""
        return self.options.keeping.seed

    @property
    def budget(self) -> Budget:
        """The budget, for methods that keep one. TasError where there are several."""
        if len(self.budgets) > 1:
            raise TasError(f"--method {self.options.pruning.method} keeps one target; several were given")
        return self.budgets[0]

    def promise(self) -> LatencyPromise | None:
        """What holds a budget of latency to what is measured, where there is one."""
        subject = Subject(self.network, self.plan, self.full)
        return promise_of(self.options.target, self.budgets, self.predicted, subject)

    def cost(self, architecture: Architecture) -> int:
        """What counts against the budget, of several against the first one."""
        return self.budgets[0].cost(self.plan, architecture)

    def met(self, architecture: Architecture) -> bool:
        """Whether an architecture is inside all budgets."""
        return all_hold(self.budgets, self.plan, architecture)

    def judging_batches(self) -> list[Batch]:
        """A few shuffled, augmented training batches; the same whenever they are asked for."""
        count = -(-JUDGING_IMAGES // self.options.recipe.batch_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            batches = list(islice(self.data.train_dataloader(), count))
        return [(images.cpu(), labels.cpu()) for images, labels in batches]

    def start(self, architecture: Architecture) -> nn.Module:
        """A network for an architecture that a method found without weights: cut out of the trained network, with its
        most important channels (L1), or fresh, by the seed, where that is not trained."""
        if self.trained:
            state = sorted_by_importance(self.network.state_dict(), self.plan)
            return cut(self.network, self.plan, architecture, state)
        return self.fresh(architecture)

    def fresh(self, architecture: Architecture) -> nn.Module:
        """A network of an architecture with random weights, the same whenever the seed is."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return build(architecture)


@dataclass(frozen=True)
class Pruned:
    """What a method found."""

    architecture: Architecture
    network: nn.Module
    """The network of that architecture, with the weights that it inherits."""
    cost: int
    """What counts against the budget, of several against the first one; where single weights were set to zero, without
    these."""
    around: tuple[int, ...]
    """Costs that the method reaches next to the target, ascending; told where the budget is not met. Empty where there
    are several."""
    sparsity_weight: float | None = None
    """Weight of the L1 penalty under which the method trained, if it did."""
    seconds_before: float = 0.0
    """Seconds spent before an interruption."""
    timed: TimedLatency | None = None
    """What was measured of its latency, where the method holds what it finds to that by itself."""


Prune = Callable[[PruneTask], Pruned | Architecture]
"""A method. One that is sure of an architecture alone has its network from `PruneTask.start`."""


def handed_over(task: PruneTask, found: object) -> Pruned:
    """What a method found, whole. TasError if it is nothing that a method may return, or no network of the task's."""
    if isinstance(found, Architecture):
        check_architecture(task.plan, found)
        return Pruned(found, task.start(found), task.cost(found), ())
    if not isinstance(found, Pruned):
        method = task.options.pruning.method
        raise TasError(
            f"--method {method} returned a {type(found).__name__}; it must return an Architecture or a Pruned"
        )
    return found
