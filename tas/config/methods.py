"""The methods of `tas prune`: one table from a name to what it is, which options and comparisons read.

A new method is a file in `tas/pruning/` and one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tas.config.functions import import_function, is_own


@dataclass(frozen=True)
class Method:
    """A way to find a smaller network."""

    function: str
    """MODULE:FUNCTION, from a PruneTask to what it found (`tas.pruning.task.Prune`). Imported when it runs, so that the
    options, which read this table, need no torch."""
    needs_weights: bool = True
    """Whether it judges trained weights."""
    leaves_zeros: bool = False
    """Whether it sets single weights to zero, and leaves the structure whole."""
    seedless: bool = False
    """Whether it finds the same network whatever the seed."""
    options: tuple[str, ...] = ()
    """Options of the group `Pruning` that it reads, beside --method."""

    def load(self) -> Callable[[Any], Any]:
        """The function. TasError if it is one of the user's own, and cannot be imported."""
        return import_function(self.function)


METHODS = {
    "uniform": Method("tas.pruning.rules:uniform", needs_weights=False, seedless=True, options=("blocks",)),
    "shallow": Method("tas.pruning.rules:shallow", needs_weights=False, seedless=True, options=("blocks",)),
    "balanced": Method("tas.pruning.rules:balanced", needs_weights=False, seedless=True, options=("blocks",)),
    "random": Method("tas.pruning.random_search:random_search", needs_weights=False, options=("candidates",)),
    "l1": Method("tas.pruning.importance:l1"),
    "fpgm": Method("tas.pruning.importance:fpgm"),
    "taylor": Method("tas.pruning.importance:taylor"),
    "slimming": Method("tas.pruning.slimming:slimming", options=("sparsity_weight",)),
    "sss": Method("tas.pruning.blocks:sss", options=("sparsity_weight",)),
    "thinet": Method("tas.pruning.reconstruction:thinet"),
    "reconstruction": Method("tas.pruning.reconstruction:reconstruction"),
    "autopruner": Method("tas.pruning.autopruner:autopruner"),
    "unstructured": Method("tas.pruning.unstructured:unstructured", leaves_zeros=True),
}
"""Name -> method."""


def method_of(name: str) -> Method:
    """A method by its name in the table, or package.module:function, one of the user's own."""
    return Method(name, needs_weights=False) if is_own(name) else METHODS[name]
