"""What a way of searching has to offer, so that the search, Lightning around it and a benchmark can drive it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    """Whether anything is made of what the step returns; if not, it need return nothing."""

    @property
    def progress(self) -> float:
        """From 0 to below 1."""
        return self.iteration / self.iterations


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

    def step(
        self,
        batch: Mapping[str, Batch],
        moment: Moment,
        optimizers: Sequence[Stepper],
        backward: Backward,
    ) -> Scalars:
        """One iteration, a function of the arguments and the seed; returns what there is to log, or nothing.

        It waits for nothing that the device computes.

        Args:
            batch: "weights" and, where steps learn by it, "architecture", of two parts of the training images.
            moment: Where the search is.
            optimizers: Those of `optimizers`, or wrapped.
            backward: How gradients are computed.
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
