"""The paper's strategy: mixtures of a few candidates under Gumbel noise, weights and logits trained by turns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.cost.tables import Probabilities
from tas.data.loaders import Batch
from tas.runs.results import Standing
from tas.search.batch_accuracy import batch_accuracy
from tas.search.budgeted_cost import BudgetedCost, MeasuredCost
from tas.search.conclusion import Conclusion
from tas.search.strategy import Backward, Given, Moment, Scalars, Stepper
from tas.space.derivation import argmax, derive
from tas.supernet.supernet import Supernet
from tas.training.losses import loss_for
from tas.training.optimizers import sgd
from tas.training.schedules import cosine, linear

ARCH_TRAVEL = 1600.0
"""Learning rate x steps of the logits' SGD where no learning rate is given: longer searches see more images and move
the logits as far."""

MOST_ARCH_LR = 5.0
"""The logits' SGD takes no larger rate of itself: in a search of a few steps each would throw them about."""

ADAM_ARCH_LR = 0.02
"""Learning rate of the logits' Adam where none is given."""

WARMUP, SEARCH = "warm-up", "search"
"""The phases: the weights learn alone; then the logits too."""


class GumbelMixture:
    """Alternating optimisation of a supernet (the paper's algorithm 1).

    Each iteration samples a network and updates the weights on cross-entropy, by SGD along a cosine; then samples
    another and updates the logits on cross-entropy + cost_weight x cost losses.

    Args:
        supernet: The supernet.
        budgets: The costs aimed at.
        recipe: Of the weights; its epochs are those of the search.
        options: How widths and depths are sampled and moved.
        seed: Of the sampling.
    """

    measures_scores = False
    rates = "--lr or --arch-lr"

    def __init__(
        self, supernet: Supernet, budgets: Sequence[Budget], recipe: Recipe, options: Strategy, seed: int
    ) -> None:
        self.supernet = supernet
        self.recipe = recipe
        self.options = options
        self.seed = seed
        self.task_loss = loss_for(recipe)
        self.generator = torch.Generator()
        self.costs = [BudgetedCost(supernet, budget) for budget in budgets]

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """SGD of the weights, and the optimiser of the logits. Their learning rates are set in every step."""
        weights = sgd(self.supernet.weight_parameters(), self.recipe)
        makers: dict[str, Callable[..., torch.optim.Optimizer]] = {
            "sgd": torch.optim.SGD,
            "adam": partial(torch.optim.Adam, betas=(0.5, 0.999)),
        }
        logits = self.supernet.architecture_parameters()
        return [weights, makers[self.options.arch_optimizer](logits, weight_decay=self.options.arch_weight_decay)]

    def given(self, moment: Moment) -> Given:
        """tau and the learning rates, and the noise of both samples; after the warm-up the logits learn too."""
        options = self.options
        searched = (moment.progress - options.warmup) / (1 - options.warmup)
        rates = {
            "tau": linear(options.tau_start, options.tau_end, max(0.0, searched)),
            "lr": cosine(self.recipe.lr, moment.progress),
            "arch_lr": self.arch_lr_over((1 - options.warmup) * moment.iterations),
        }
        # Seeding by the iteration makes what is sampled a function of it alone: a resumed run samples the same.
        self.generator.manual_seed(self.seed * 1_000_003 + moment.iteration)
        draws = {}
        if (masked := self.supernet.full_width) is not None:
            draws["weights"] = masked.noise(self.generator, options.depth_training == "mixed")
            if searched >= 0:
                draws["architecture"] = masked.noise(self.generator, mix_depths=True)
        return Given(rates, draws, WARMUP if searched < 0 else SEARCH)

    def learn(
        self,
        batch: Mapping[str, Batch],
        given: Given,
        optimizers: Sequence[Stepper],
        backward: Backward,
        written: bool = True,
    ) -> Scalars:
        """A step of the weights and, after the warm-up, one of the logits."""
        (weights, logits), rates, noise = optimizers, given.rates, given.draws
        weights.param_groups[0]["lr"] = rates["lr"]
        logits.param_groups[0]["lr"] = rates["arch_lr"]
        how = (backward, rates["tau"])
        learned = {"weights": self.weights_step(batch["weights"], weights, *how, noise.get("weights"))}
        if given.phase == SEARCH:
            own = (batch["architecture"], logits, *how, noise.get("architecture"))
            learned["architecture"] = self.architecture_step(*own)
        if not written:
            return {}
        scalars: dict[str, float | Tensor] = {}
        for name, one in learned.items():
            scalars[f"{name}/loss"] = one.loss
            scalars[f"{name}/accuracy"] = batch_accuracy(one.logits, one.labels)
            for cost, measured in zip(self.costs, one.costs):
                scalars |= cost.scalars(measured)
            if one.costs:
                scalars[f"{name}/cost_loss"] = sum_of(one.costs).detach().float()
        return scalars

    def arch_lr_over(self, steps: float) -> float:
        """The learning rate of the logits, which move in so many steps."""
        if self.options.arch_lr is not None:
            return self.options.arch_lr
        return ADAM_ARCH_LR if self.options.arch_optimizer == "adam" else min(MOST_ARCH_LR, ARCH_TRAVEL / steps)

    def sample(self, tau: float | Tensor, noise: Tensor | None, mix_depths: bool = True) -> None:
        """As `Supernet.sample`, by noise if there is any."""
        samples = self.options.samples
        if noise is None:
            self.supernet.sample(float(tau), samples, self.generator, mix_depths)
        else:
            assert self.supernet.full_width is not None
            self.supernet.full_width.sample(tau, samples, noise, mix_depths)

    def weights_step(
        self, batch: Batch, optimizer: Stepper, backward: Backward, tau: float | Tensor, noise: Tensor | None = None
    ) -> "Learned":
        """One step of SGD on the weights of a sampled network; without noise the host draws some."""
        with without_gradient(self.supernet.architecture_parameters()):
            self.sample(tau, noise, self.options.depth_training == "mixed")
            loss, logits = self.loss(batch)
            descend(loss, optimizer, backward)
        return Learned(loss.detach(), logits.detach(), batch[1])

    def architecture_step(
        self, batch: Batch, optimizer: Stepper, backward: Backward, tau: float | Tensor, noise: Tensor | None = None
    ) -> "Learned":
        """One step on the logits of widths and depths, on another sampled network."""
        with without_gradient(self.supernet.weight_parameters()):
            self.sample(tau, noise)
            loss, logits = self.loss(batch)
            costs = [cost.measured() for cost in self.costs]
            descend(loss + self.options.cost_weight * sum_of(costs).to(loss), optimizer, backward)
        return Learned(loss.detach(), logits.detach(), batch[1], costs)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The recipe's loss of what the supernet computes, and that."""
        images, labels = batch
        logits = self.supernet(images.contiguous(memory_format=self.supernet.layout))
        return self.task_loss(logits, labels, None), logits

    def probabilities(self) -> tuple[Probabilities, Probabilities]:
        """The softmax of the logits."""
        return self.supernet.probabilities()

    def look(self, judging: Callable[[], Iterable[Batch]], device: torch.device) -> Standing | None:
        """The logits are up to date."""
        return None

    def conclude(
        self, budgets: Sequence[Budget], judging: Callable[[], Iterable[Batch]], device: torch.device
    ) -> Conclusion:
        """The most probable network inside the budgets; the images are not asked."""
        space, (widths, depths) = self.supernet.space, self.probabilities()
        return Conclusion(derive(space, widths, depths, *budgets), argmax(space, widths, depths), widths, depths)

    def shown(self, scalars: Scalars) -> Scalars:
        """The weights' loss, and the derived share of each cost."""
        derived = {cost.name: scalars.get(f"{cost.name}/derived_ratio") for cost in self.costs}
        return {"loss": scalars["weights/loss"]} | {name: value for name, value in derived.items() if value is not None}


@dataclass(frozen=True)
class Learned:
    """What a step has learned by."""

    loss: Tensor
    """Of the task alone."""
    logits: Tensor
    labels: Tensor
    costs: Sequence[MeasuredCost] = ()
    """Those with a budget, where the step minds them."""


def sum_of(costs: Sequence[MeasuredCost]) -> Tensor:
    """The cost losses together."""
    first, *others = (cost.loss for cost in costs)
    for loss in others:
        first = first + loss
    return first


@contextmanager
def without_gradient(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, these parameters get no gradient: a step computes those of its own parameters alone."""
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def descend(loss: Tensor, optimizer: Stepper, backward: Backward) -> None:
    """Gradients, and an update of what the optimiser has."""
    optimizer.zero_grad()
    backward(loss)
    optimizer.step()
