"""Two kinds of job: random networks trained alone, and a search's supernet held against what that gave.

A search can only choose well among networks that its supernet tells apart. Networks are trained from random weights on
one half of the training images and judged on the other; the supernet is judged on the images that its search held out.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.architecture import Architecture
from tas.config import SearchOptions
from tas.config.groups import OTHER_RUN, Dataset, Keeping, Machine, Ranking, Recipe, Source, Space
from tas.config.options import Options
from tas.config.targets import Target
from tas.cutting.build import build
from tas.data.images import SearchData
from tas.data.opening import open_dataset
from tas.reading.original import original_for
from tas.runs.journal import Journal
from tas.runs.picture import save_picture
from tas.runs.results import AloneResult, RankingResult
from tas.runs.run import Run
from tas.search.ranking import Judged, draw_ranking, forced_loss, kendall_tau
from tas.search.scores import scores_of_search
from tas.search.task import budgets_of, reopen_search
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace
from tas.training.short import evaluate, train_apart
from tas.training.trainer import open_trainer, quiet


@dataclass(frozen=True, kw_only=True)
class AloneOptions(Options):
    """Draw random networks of a search's space inside its budget, and train each alone."""

    source: Source = Source()
    dataset: Dataset = Dataset()
    target: Target = Target()
    space: Space = Space()
    ranking: Ranking = Ranking()
    recipe: Recipe = Recipe()
    machine: Machine = Machine()
    keeping: Keeping = Keeping()

    @classmethod
    def of_search(cls, options: SearchOptions, ranking: Ranking) -> "AloneOptions":
        """Those of the networks that a search is held against: equal where two searches choose among the same."""
        return cls(
            source=Source(network=options.source.network),
            dataset=options.dataset,
            target=options.target,
            space=options.space,
            ranking=replace(ranking, ranked=()),
            recipe=replace(options.recipe, epochs=ranking.rank_epochs, lr=ranking.rank_lr),
            machine=options.machine,
            keeping=Keeping(seed=options.keeping.seed),
        )

    def draws(self) -> str:
        """A name for what is drawn and how it is trained, whichever searches ask for it: a digest of what no other
        part of a comparison says, and is not the default."""
        values, known = self.flat(), self.listed()
        own = sorted({*asdict(Space()), *asdict(Recipe())} - {"epochs", "lr"})  # these two are the comparison's
        stated = {name: values[name] for name in own if values[name] != known[name].default}
        return hashlib.sha256(repr(stated).encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class RankOptions(Options):
    """Hold a search's supernet against networks that were trained alone."""

    dataset: Dataset = Dataset()
    recipe: Recipe = Recipe()
    machine: Machine = Machine()
    keeping: Keeping = Keeping()
    search: str = field(default="", metadata=OTHER_RUN)
    """The finished search."""
    alone: str = field(default="", metadata=OTHER_RUN)
    """The networks that were trained alone."""


@dataclass(frozen=True)
class Alone:
    """One network, trained alone."""

    val_accuracy: float
    """From 0 to 1, on the architecture's half."""
    widths: Mapping[str, int]
    depths: Mapping[str, int]


def alone_networks(run: Run) -> Journal[Alone]:
    """The networks that a run has trained alone."""
    return Journal(run.path / "networks.json", Alone)


def judged_networks(run: Run) -> Journal[Judged]:
    """Both judgements of every network of a ranking, the found one's last."""
    return Journal(run.path / "ranking.json", Judged)


def train_alone(options: AloneOptions, run: Run) -> None:
    """Train the networks that are not trained yet."""
    seed, count = options.keeping.seed, options.ranking.rank
    data = open_dataset(options.dataset, options.recipe, options.machine, seed)
    halves = SearchData(data, seed)
    original = original_for(data, options.source)
    space = SearchSpace.of(original.plan, original.full, options.space)
    budgets = budgets_of(options.target, space)
    generator = torch.Generator().manual_seed(seed)
    drawn = [random_architecture(space, budgets, generator) for _ in range(count)]
    run.start(options)

    def trained(number: int) -> Alone:
        one = drawn[number]
        reached = accuracy_alone(one, halves, options.recipe, options.machine, seed, f"network {number + 1} of {count}")
        return Alone(reached, one.widths, one.depths)

    networks = alone_networks(run).up_to(count, trained)
    AloneResult(networks=len(networks)).write(run)


def accuracy_alone(
    architecture: Architecture, halves: SearchData, recipe: Recipe, machine: Machine, seed: int, label: str
) -> float:
    """The accuracy on the architecture's half of a network trained alone on the weights' half.

    Args:
        architecture: The network.
        halves: The images.
        recipe, machine, seed: How it is trained, and on what.
        label: What the progress bar calls it.
    """
    torch.manual_seed(seed)
    network = build(architecture)
    batches = halves.data.training_batches(halves.data.train_images(), halves.weights_half)
    device = train_apart(network, batches, architecture.num_classes, recipe, machine, seed, label)
    return evaluate(network, halves.val_dataloader(), device)


def rank(options: RankOptions, run: Run) -> None:
    """Judge the networks by the supernet, and the found one in both ways; leaves ranking.json and a picture."""
    search, seed = Run(options.search), options.keeping.seed
    # Where the data are, and what computes, may have changed since.
    task, module = reopen_search(search, **asdict(options.dataset), **asdict(options.machine))
    run.start(options)
    quiet()
    device = open_trainer(options.machine, 1, logger=False, enable_checkpointing=False).strategy.root_device
    supernet, halves = module.supernet.to(device), task.halves
    images = halves.data.train_images()
    alone = SearchData(halves.data, seed)  # as the others were trained, whatever part a search has held out
    trained = alone_networks(Run(options.alone)).entries
    found = Architecture.load(search.architecture)
    networks = [*(found.with_counts(one.widths, one.depths) for one in trained), found]

    def judged(number: int) -> Judged:
        one = networks[number]
        torch.manual_seed(seed)  # of the augmentation: an interrupted ranking ends as an unbroken one
        batches = halves.data.training_batches(images, halves.weights_half)
        loss = forced_loss(supernet, one, batches, halves.val_dataloader(), device)
        if number < len(trained):
            accuracy = trained[number].val_accuracy
        else:
            accuracy = accuracy_alone(one, alone, options.recipe, options.machine, seed, "found network")
        return Judged(loss, accuracy, one.widths, one.depths)

    *others, own = judged_networks(run).up_to(len(networks), judged)
    draw(others, own, run)
    tau, p_value = kendall_tau(others)
    told = math.isfinite(tau)
    scores = scores_of_search(search, module, networks[:-1])
    by_scores, _ = kendall_tau([replace(one, supernet_loss=-score) for one, score in zip(others, scores.tolist())])
    result = RankingResult(
        kendall_tau=tau if told else None,
        kendall_p_value=p_value if told else None,
        ranked=len(others),
        ranked_accuracy_mean=fmean(one.val_accuracy for one in others),
        ranked_accuracy_best=max(one.val_accuracy for one in others),
        found_accuracy=own.val_accuracy,
        scores_tau=by_scores if math.isfinite(by_scores) else None,
        found_beats=sum(one.val_accuracy < own.val_accuracy for one in others),
    )
    result.write(run)


@rank_zero_only
def draw(judged: list[Judged], found: Judged, run: Run) -> None:
    """Leave the picture."""
    save_picture(draw_ranking(judged, found), run.path / "ranking.png")
