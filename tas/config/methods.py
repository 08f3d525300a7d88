"""The methods of `tas prune`: one table from a name to what it is, which options and comparisons read.

A new method is a file in `tas/pruning/` and one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Method:
    """A way to find a smaller network."""

    function: str
    """MODULE:FUNCTION in `tas/pruning/`, from a PruneTask to what it found (`tas.pruning.task.Prune`). Imported when it
    runs, so that the options, which read this table, need no torch."""
    needs_weights: bool = True
    """Whether it judges trained weights."""
    leaves_zeros: bool = False
    """Whether it sets single weights to zero, and leaves the structure whole."""
    seedless: bool = False
    """Whether it finds the same network whatever the seed."""
    options: tuple[str, ...] = ()
    """Options of the group `Pruning` that it reads, beside --method."""

    def load(self) -> Callable[[Any], Any]:
        """The function."""
        module, _, name = self.function.partition(":")
        function: Callable[[Any], Any] = getattr(import_module(f"tas.pruning.{module}"), name)
        return function


METHODS = {
    "uniform": Method("uniform:uniform", needs_weights=False, seedless=True, options=("blocks",)),
    "random": Method("random_search:random_search", needs_weights=False, options=("candidates",)),
    "l1": Method("importance:l1"),
    "fpgm": Method("importance:fpgm"),
    "taylor": Method("importance:taylor"),
    "slimming": Method("slimming:slimming", options=("sparsity_weight",)),
    "sss": Method("blocks:sss", options=("sparsity_weight",)),
    "thinet": Method("reconstruction:thinet"),
    "reconstruction": Method("reconstruction:reconstruction"),
    "autopruner": Method("autopruner:autopruner"),
    "unstructured": Method("unstructured:unstructured", leaves_zeros=True),
}
"""Name -> method."""
