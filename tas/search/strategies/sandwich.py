"""A slimmable supernet and log-linear scores: single networks learn together, then are asked what they are worth."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.cost.tables import Probabilities
from tas.data.loaders import Batch
from tas.distillation.loss import distillation_loss
from tas.runs.results import Standing
from tas.search.batch_accuracy import batch_accuracy
from tas.search.budgeted_cost import BudgetedCost
from tas.search.conclusion import Conclusion, Scored, conclude, distributions, even
from tas.search.probing import Probe, ask, networks_near_the_full, random_networks
from tas.search.strategy import Backward, Given, Moment, Scalars, Stepper
from tas.space.random_networks import random_architecture
from tas.supernet.supernet import Supernet
from tas.training.losses import loss_for
from tas.training.optimizers import sgd
from tas.training.schedules import cosine

ROUNDS = 3
"""In which networks are asked: the first are drawn from the whole space, half of all; those of the others are best by
what is known so far."""

LOOKED_AT = 32
"""Networks that are asked in the middle of a search, and draws of the scores."""

FEWEST_IMAGES = 16
"""By which a network learns in a step, where the batch has them: its norms take their statistics of these."""


def parts_of_batch(images: int, networks: int) -> list[slice]:
    """Which images of a batch each of several networks learns by: an equal part, the parts of few images overlap."""
    share = min(images, max(images // networks, FEWEST_IMAGES))
    return [slice(start, start + share) for start in (min(share * place, images - share) for place in range(networks))]


@contextmanager
def gradients_beside(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, gradients are computed anew; afterwards those from before are added, all in one operation.

    Left to itself, a backward pass adds each by an operation of its own.
    """
    before = [(parameter, parameter.grad) for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    yield
    both = []
    for parameter, gradient in before:
        if parameter.grad is None:
            parameter.grad = gradient
        elif gradient is not None:
            both.append((parameter.grad, gradient))
    if both:
        torch._foreach_add_(*map(list, zip(*both)))


class Lesson(NamedTuple):
    """What a narrower network learns by."""

    images: Tensor
    teacher: Tensor
    """The unpruned network's logits of them."""
    labels: Tensor

    def divergence(self, logits: Tensor) -> Tensor:
        """From the unpruned network's output alone, at temperature 1; the mean over the images."""
        return distillation_loss(logits, self.teacher, self.labels, 1.0, 1.0)


class Sandwich:
    """The sandwich rule with in-place distillation (Yu & Huang 2019, "Universally Slimmable Networks"), then scores.

    Each iteration trains the unpruned network on the labels, and the smallest and a few random networks on its softened
    output, each for its share of the same images (as "PSE-Net" does: Wang et al. 2024), so that they together cost less
    than the unpruned network. At the end single networks are asked by paired forward passes on held-out images, and a
    log-linear model is fitted to their losses; without any training, networks near the unpruned one are asked.

    Args:
        supernet: The supernet.
        budgets: The costs aimed at.
        recipe: Of the weights; its epochs are those of the search.
        options: How many networks learn and are asked.
        seed: Of the sampling.
    """

    measures_scores = True
    rates = "--lr"

    def __init__(
        self, supernet: Supernet, budgets: Sequence[Budget], recipe: Recipe, options: Strategy, seed: int
    ) -> None:
        self.supernet = supernet
        self.budgets = budgets
        self.costs = [BudgetedCost(supernet, budget) for budget in budgets]
        self.recipe = recipe
        self.options = options
        self.seed = seed
        self.task_loss = loss_for(recipe)
        self.generator = torch.Generator()
        supernet.set_probabilities(even(supernet.space.widths), even(supernet.space.depths))

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """SGD of the weights. Its learning rate is set in every step."""
        return [sgd(self.supernet.weight_parameters(), self.recipe)]

    def given(self, moment: Moment) -> Given:
        """The learning rate, and the networks: the unpruned one, the smallest, and random ones."""
        # Seeding by the iteration makes what is sampled a function of it alone: a resumed run samples the same.
        self.generator.manual_seed(self.seed * 1_000_003 + moment.iteration)
        draws = {}
        if (masked := self.supernet.full_width) is not None:
            draws["networks"] = masked.rows_of([self.supernet.space.full, *self.narrow()])
        return Given({"lr": cosine(self.recipe.lr, moment.progress)}, draws, "search")

    def narrow(self) -> list[Architecture]:
        """The networks that learn beside the unpruned one: the smallest, and some drawn at random."""
        space = self.supernet.space
        return [space.smallest(), *random_networks(space, self.options.random_networks, self.generator)]

    def learn(
        self,
        batch: Mapping[str, Batch],
        given: Given,
        optimizers: Sequence[Stepper],
        backward: Backward,
        written: bool = True,
    ) -> Scalars:
        """A step of the weights: the gradients of all its networks together."""
        (optimizer,), space, masked = optimizers, self.supernet.space, self.supernet.full_width
        images, labels = batch["weights"]
        images = images.contiguous(memory_format=self.supernet.layout)
        optimizer.param_groups[0]["lr"] = given.rates["lr"]
        optimizer.zero_grad()
        rows = given.draws.get("networks")
        self.set(space.full if rows is None else rows[0])
        logits = self.supernet(images)
        loss = self.task_loss(logits, labels, None)
        backward(loss)
        narrow = self.narrow() if rows is None else rows[1:]
        lessons = [
            Lesson(images[share], logits.detach()[share], labels[share])
            for share in parts_of_batch(len(images), len(narrow))
        ]
        if isinstance(narrow, Tensor) and masked is not None and masked.side_by_side:
            learned = self.teach_side_by_side(narrow, lessons, backward)
        else:
            learned = self.teach_one_by_one(narrow, lessons, backward)
        optimizer.step()
        if rows is not None:
            self.set(rows[0])  # which takes a batch of any size
        if not written:
            return {}
        smallest, *others = (lesson.divergence(own.detach()) for lesson, own in zip(lessons, learned, strict=True))
        scalars: dict[str, float | Tensor] = {
            "weights/loss": loss.detach(),
            "weights/accuracy": batch_accuracy(logits, labels),
            "weights/smallest": smallest,
        }
        if others:
            scalars["weights/random"] = torch.stack(others).mean()
        return scalars

    def set(self, network: Architecture | Tensor) -> None:
        """Compute a network, given by itself or, where layers are masked, by its rows, from now on."""
        if isinstance(network, Architecture):
            self.supernet.force(network)
        else:
            assert self.supernet.full_width is not None
            self.supernet.full_width.fix(network)

    def teach_one_by_one(
        self, networks: Sequence[Architecture] | Tensor, lessons: Sequence["Lesson"], backward: Backward
    ) -> list[Tensor]:
        """The gradients of several networks, each by its lesson; returns their logits."""
        learned = []
        for network, lesson in zip(networks, lessons, strict=True):
            self.set(network)
            learned.append(self.supernet(lesson.images))
            backward(lesson.divergence(learned[-1]))
        return learned

    def teach_side_by_side(self, networks: Tensor, lessons: Sequence["Lesson"], backward: Backward) -> list[Tensor]:
        """The same in one pass: image i of each, then image i + 1."""
        self.set(networks)
        together = Lesson(*(torch.stack(parts, 1).flatten(0, 1) for parts in zip(*lessons)))
        logits = self.supernet(together.images)
        with gradients_beside(self.supernet.weight_parameters()):
            backward(len(networks) * together.divergence(logits))  # the mean over all images; that of each counts once
        return [logits[place :: len(networks)] for place in range(len(networks))]

    def probabilities(self) -> tuple[Probabilities, Probabilities]:
        """The share of draws of the scores that choose each candidate; all alike before scores are measured."""
        return self.supernet.probabilities()

    def shown(self, scalars: Scalars) -> Scalars:
        """The losses: of the unpruned network, and of random ones from it."""
        names = {"loss": "weights/loss", "random": "weights/random"}
        return {short: scalars[name] for short, name in names.items() if name in scalars}

    def probe(self, judging: Callable[[], Iterable[Batch]], device: torch.device) -> list[Probe]:
        """What the supernet says of networks.

        Args:
            judging: Held-out images, the same whenever they are asked for.
            device: Where the supernet is.
        """
        space, count = self.supernet.space, self.options.probes
        self.generator.manual_seed(self.seed)
        if not self.recipe.epochs:
            near = networks_near_the_full(space, count, self.generator)
            return ask(self.supernet, near, judging(), device)
        first = count // 2
        probes = ask(self.supernet, random_networks(space, first, self.generator), judging(), device)
        for number in range(1, ROUNDS):
            wanted = (count - first) * number // (ROUNDS - 1) + first - len(probes)
            if wanted > 0:
                probes += ask(self.supernet, self.promising(Scored(space, probes), wanted), judging(), device)
        return probes

    def promising(self, scored: Scored, count: int) -> list[Architecture]:
        """Networks to ask next: the controls, and, drawn anew each time, what may be best inside the budgets."""
        known = {str(scored.space.full.with_counts(one.widths, one.depths)) for one in scored.probes}
        offered = [
            *scored.controls(scored.best(self.budgets), self.budgets).values(),
            *scored.best_by_draws(self.budgets, 4 * count, self.seed + len(scored.probes)),
        ]
        new = {str(network): network for network in offered if str(network) not in known}
        missing = max(0, count - len(new))  # where the scores leave no doubt
        if len(self.budgets) > 1:  # inside all of them a programme for each would have to be solved
            others = random_networks(scored.space, missing, self.generator)
        else:
            others = [random_architecture(scored.space, self.budgets, self.generator) for _ in range(missing)]
        return [*new.values()][:count] + others

    def look(self, judging: Callable[[], Iterable[Batch]], device: torch.device) -> Standing | None:
        """Ask a few random networks; the distributions are theirs until the next look."""
        self.generator.manual_seed(self.seed)
        networks = random_networks(self.supernet.space, LOOKED_AT, self.generator)
        scored = Scored(self.supernet.space, ask(self.supernet, networks, judging(), device))
        self.supernet.set_probabilities(*distributions(scored, self.budgets, LOOKED_AT, self.seed))
        return scored.standing()

    def conclude(
        self, budgets: Sequence[Budget], judging: Callable[[], Iterable[Batch]], device: torch.device
    ) -> Conclusion:
        """Ask, fit, and choose."""
        scored = Scored(self.supernet.space, self.probe(judging, device))
        found = conclude(scored, budgets, self.options.draws, self.seed)
        self.supernet.set_probabilities(found.widths, found.depths)
        return found
