"""The options of `tas prune`."""

from dataclasses import dataclass

from tas.config.checks import at_least
from tas.config.groups import Dataset, Keeping, Machine, Recipe, Source
from tas.config.methods import Pruning
from tas.config.options import Options
from tas.config.targets import Target, Timing


@dataclass(frozen=True, kw_only=True)
class PruneOptions(Options):
    """Find a smaller network by another method: uniform widths, random search, importance."""

    source: Source = Source()
    dataset: Dataset = Dataset()
    target: Target = Target(tolerance=0.02)
    timing: Timing = Timing()
    pruning: Pruning = Pruning()
    recipe: Recipe = Recipe(epochs=10)
    machine: Machine = Machine()
    keeping: Keeping = Keeping()

    def __post_init__(self) -> None:
        at_least(1, epochs=self.recipe.epochs)
