"""The methods of `tas prune`: one table from a name to what it is, which comparisons read, and the options of them.

A new method is a file in `tas/pruning/` and one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tas.config.checks import above, at_least, inside
from tas.config.functions import import_function, is_own
from tas.config.groups import Rounding
from tas.errors import TasError

COUNTED_MEASURES = ("flops", "params")
"""What is counted of a network, layer by layer."""

EVERY_MEASURE = (*COUNTED_MEASURES, "latency", "memory")
"""All that a network may have a target of."""


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
    several: bool = False
    """Whether it keeps several targets at once."""
    measures: tuple[str, ...] = COUNTED_MEASURES
    """What it takes a target of; latency where it is quick enough to be asked several times, for budgets that are moved
    by as much as predictions are off."""
    keeps_latency: bool = False
    """Whether it is asked once, and holds what it finds to a measured latency by itself."""
    outlook: str | None = None
    """MODULE:FUNCTION, from a PruneTask to what it can find (`tas.space.outlook.Outlook`), where that is known before
    it runs."""
    options: tuple[str, ...] = ()
    """Options of the group `Pruning` that it reads, beside --method."""

    def load(self) -> Callable[[Any], Any]:
        """The function. TasError if it is one of the user's own, and cannot be imported."""
        return import_function(self.function)

    def look(self, task: Any) -> Any:
        """What it can find of a PruneTask, an Outlook; None where that shows only when it runs."""
        return None if self.outlook is None else import_function(self.outlook)(task)


def rule(name: str) -> Method:
    """A rule that asks nothing."""
    return Method(
        f"tas.pruning.rules:{name}",
        needs_weights=False,
        seedless=True,
        several=True,
        measures=EVERY_MEASURE,
        outlook=f"tas.pruning.rules:{name}_outlook",
        options=("blocks", "round_to"),
    )


def ranking(function: str) -> Method:
    """One that ranks the channels of trained weights, without training, and takes them out until its budget is met."""
    return Method(f"tas.pruning.{function}", measures=EVERY_MEASURE, options=("round_to",))


METHODS = {
    "uniform": rule("uniform"),
    "shallow": rule("shallow"),
    "balanced": rule("balanced"),
    "random": Method(
        "tas.pruning.random_search:random_search",
        needs_weights=False,
        several=True,
        measures=EVERY_MEASURE,
        keeps_latency=True,
        outlook="tas.pruning.random_search:random_outlook",
        options=("candidates", "round_to"),
    ),
    "l1": ranking("importance:l1"),
    "fpgm": ranking("importance:fpgm"),
    "taylor": ranking("importance:taylor"),
    "slimming": Method(
        "tas.pruning.slimming:slimming", measures=(*COUNTED_MEASURES, "memory"), options=("sparsity_weight", "round_to")
    ),
    "sss": Method("tas.pruning.blocks:sss", options=("sparsity_weight",)),
    "thinet": ranking("reconstruction:thinet"),
    "reconstruction": ranking("reconstruction:reconstruction"),
    "autopruner": Method("tas.pruning.autopruner:autopruner", options=("round_to",)),
    "unstructured": Method("tas.pruning.unstructured:unstructured", leaves_zeros=True, measures=("flops",)),
}
"""Name -> method."""


def method_of(name: str) -> Method:
    """A method by its name in the table, or package.module:function, one of the user's own."""
    return Method(name, needs_weights=False, several=True, measures=EVERY_MEASURE) if is_own(name) else METHODS[name]


@dataclass(frozen=True, kw_only=True)
class Pruning(Rounding):
    """Method of pruning."""

    method: str = field(default="uniform", metadata={"choices": tuple(METHODS)})
    """How the structure is chosen: by a method of the table, or by package.module:function, a function of one's own."""
    blocks: int | None = None
    """With --method uniform, balanced and shallow: blocks that every stage keeps, or all of them where it has no more;
    none keeps all, with shallow two thirds."""
    candidates: int = 10
    """With --method random: networks that are drawn, trained and ranked."""
    sparsity_weight: float | None = None
    """With --method slimming: weight of the L1 penalty on the scales of the batch norms; with --method sss on the
    factors of the blocks. None takes the one that shrinks a factor by 1, its starting value, over the training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = is_own(self.method) or self.method in METHODS
        inside("method", self.method, known, ", ".join((*METHODS, "package.module:function")))
        at_least(1, candidates=self.candidates)
        if self.blocks is not None:
            at_least(1, blocks=self.blocks)
        if self.sparsity_weight is not None:
            above(0, sparsity_weight=self.sparsity_weight)
        for key in dict.fromkeys(key for method in METHODS.values() for key in method.options):
            readers = [name for name, method in METHODS.items() if key in method.options]
            default = type(self).__dataclass_fields__[key].default
            if getattr(self, key) != default and self.method not in readers:
                flag = key.replace("_", "-")
                raise TasError(f"--{flag} goes with --method {' or '.join(readers)}, not with {self.method}")
