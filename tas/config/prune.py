"""The options of `tas prune`."""

from dataclasses import dataclass

from tas.config.checks import at_least
from tas.config.groups import Dataset, Keeping, Machine, Recipe, Source
from tas.config.methods import METHODS, Pruning, method_of
from tas.config.options import Options
from tas.config.targets import Target, Timing
from tas.errors import TasError


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
        method, targets = self.pruning.method, self.target.amounts()
        for measure in targets:
            if measure not in method_of(method).measures:
                able = " or ".join(name for name, other in METHODS.items() if measure in other.measures)
                raise TasError(f"--{measure}-target goes with --method {able}, not with {method}")
        if len(targets) > 1 and not method_of(method).several:
            flags = " and ".join(f"--{name}-target" for name in targets)
            able = " or ".join(name for name, other in METHODS.items() if other.several)
            raise TasError(f"{flags} go together with --method {able}, not with {method}; give one")
