"""What a way of searching has to offer, so that the search, Lightning around it and a benchmark can drive it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from tas.cost.budget import Budget
from tas.cost.tables import Probabilities
from tas.data.loaders import Batch
from tas.runs.results import Standing
from tas.search.budgeted_cost import BudgetedCost
from tas.search.conclusion import Conclusion
from tas.supernet.supernet import Supernet

Scalars = Mapping[str, float | Tensor]
"""Name in TensorBoard -> a number."""

Backward = Callable[[Tensor], object]
"""Computes the gradients of a loss: `Tensor.backward`, or what Lightning has in its place."""


class Stepper(Protocol):
    """An optimiser of torch, or Lightning's around one."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> Any:
        """Update the parameters."""


@dataclass(frozen=True)
class Moment:
    """Where a search is."""

    iteration: int
    """From 0."""
    iterations: int
    """Of the whole search."""
    written: bool = True
    """Whether anything is made of what the iteration returns; if not, it need return nothing."""

    @property
    def progress(self) -> float:
        """From 0 to below 1."""
        return self.iteration / self.iterations


@dataclass(frozen=True)
class Given:
    """What an iteration is given by the host; all else it computes on the device."""

    rates: Mapping[str, float | Tensor]
    """Learning rates and the like, each by its name in TensorBoard, below "schedule"; on the device where the iteration
    is captured."""
    draws: Mapping[str, Tensor]
    """What is drawn, made on the CPU; nothing where layers are sliced, for which the host draws as it goes."""
    phase: str
    """Iterations of one phase do the same operations, and are given the same names and shapes."""

    def to(self, device: torch.device) -> "Given":
        """With the draws on a device, without waiting for what it still has to do."""
        return replace(self, draws={name: own.to(device, non_blocking=True) for name, own in self.draws.items()})

    def scalars(self) -> dict[str, float | Tensor]:
        """What is logged of it."""
        return {f"schedule/{name}": rate for name, rate in self.rates.items()}


class SearchStrategy(Protocol):
    """How a search learns: what a step draws and trains, where the distributions come from, how sure they are.

    It is made of a supernet, budgets, the options of the weights' training, its own options and a seed, and holds no
    other state than what its optimisers and the supernet hold, so that a checkpoint of these is one of the search.
    """

    supernet: Supernet
    costs: list[BudgetedCost]
    measures_scores: bool
    """Whether the distributions come from scores, by `look` and `conclude`; else the steps move them."""
    rates: str
    """The flags to lower where a step's loss is no number any more."""

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimisers that the steps use, freshly made."""

    def given(self, moment: Moment) -> Given:
        """What the iteration of a moment is given by the host: a function of the moment and the seed."""

    def learn(
        self,
        batch: Mapping[str, Batch],
        given: Given,
        optimizers: Sequence[Stepper],
        backward: Backward,
        written: bool = True,
    ) -> Scalars:
        """One iteration, a function of the arguments; returns what there is to log, or nothing.

        It waits for nothing that the device computes and, where layers are masked, makes nothing on the host: it can
        be captured once and done again with other numbers in the same places.

        Args:
            batch: "weights" and, where steps learn by it, "architecture", of two parts of the training images.
            given: By the host, with draws on the device.
            optimizers: Those of `optimizers`, or wrapped.
            backward: How gradients are computed.
            written: As of the moment.
        """

    def probabilities(self) -> tuple[Probabilities, Probabilities]:
        """The distributions of widths and depths, of which the architecture is derived."""

    def look(self, judging: Callable[[], Iterable[Batch]], device: torch.device) -> Standing | None:
        """Bring the distributions up to date before they are shown, in the middle of a search; what scores say of them.

        Args:
            judging: A few held-out images, drawn at random.
            device: Where the supernet is.
        """

    def conclude(
        self, budgets: Sequence[Budget], judging: Callable[[], Iterable[Batch]], device: torch.device
    ) -> Conclusion:
        """What has been learned, and the network that it chooses, at the end.

        Args:
            budgets: What that network may cost.
            judging: Held-out images, drawn at random; the same whenever they are asked for.
            device: Where the supernet is.
        """

    def shown(self, scalars: Scalars) -> Scalars:
        """What of a step's scalars the progress bar shows, under short names."""


def iterate(
    strategy: SearchStrategy,
    batch: Mapping[str, Batch],
    moment: Moment,
    optimizers: Sequence[Stepper],
    backward: Backward,
) -> Scalars:
    """One iteration of a search; returns what there is to log of it, or nothing.

    Args:
        strategy: That of the search.
        batch, optimizers, backward: As for its `learn`.
        moment: Where the search is.
    """
    given = strategy.given(moment).to(batch["weights"][0].device)
    scalars = strategy.learn(batch, given, optimizers, backward, moment.written)
    return {**given.scalars(), **scalars} if moment.written else {}
