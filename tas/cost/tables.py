"""The cost of every network that a space allows, as a sum of tables over the candidates of two widths.

Some costs are the largest of several such sums. One formula throughout: each table is switched on by the depth of a
stage. The exact cost of an architecture, its expectation over distributions, and the search for the best architecture
inside a budget (`tas.space.milp`) read the same tables.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tas.reading.plan import ChannelSource, Plan, Width

Probabilities = Mapping[str, Tensor]
"""Width or stage -> the probability of each of its candidates, (number of candidates,)."""


@dataclass(frozen=True)
class Term:
    """A part of a network's cost, which two numbers of channels decide."""

    reads: ChannelSource
    """Where its inputs come from."""
    writes: Width
    """Where its outputs come from."""
    cost: Callable[[Tensor, Tensor], Tensor]
    """From numbers of input channels, (I,) float64, and of output channels, (O,), to what each of the one with each of
    the other costs, (I, O)."""
    stage: str | None = None
    """The stage it stands in; it is paid if that stage keeps more than `block` blocks. None: it always is."""
    block: int = 0
    if_unequal: bool = False
    """It is paid only where inputs and outputs come out different."""
    part: int = 0
    """Where the cost is the largest of several sums: which of them it belongs to."""


def bilinear(each_pair: int, each_output: int = 0) -> Callable[[Tensor, Tensor], Tensor]:
    """The cost of a term: each_pair x inputs x outputs + each_output x outputs."""
    return lambda inputs, outputs: each_pair * inputs[:, None] * outputs + each_output * outputs


@dataclass(frozen=True)
class CostTable:
    """What the candidates of two widths cost together, paid when a stage has one of some depths."""

    reads: Width
    writes: Width
    stage: str | None
    """The stage whose depth decides whether it is paid; None: it always is."""
    depths: tuple[int, ...]
    """Indices of the depth candidates at which it is paid."""
    cost: Tensor
    """(candidates of `reads`, candidates of `writes`), float64: whole numbers are exact in it up to 2**53."""
    part: int = 0
    """Which sum it belongs to, of those of which the largest is the cost."""


def tables_of(
    terms: Iterable[Term],
    plan: Plan,
    widths: Mapping[str, tuple[int, ...] | Tensor],
    depths: Mapping[str, tuple[int, ...]],
) -> list[CostTable]:
    """The cost of every network that the candidates allow; terms with the same ends share a table.

    Widths may be tensors, (candidates,), of numbers that need not be whole: the costs are differentiable in them.
    """
    merged: dict[tuple[Width, Width, str | None, tuple[int, ...], int], Tensor] = {}
    for term in terms:
        for case in plan.cases(term.stage, term.block, term.reads, depths):
            reads, writes = case.reads, term.writes
            inputs, outputs = channels(reads, widths), channels(writes, widths)
            cost = term.cost(inputs, outputs)
            if term.if_unequal:
                cost = cost * (inputs[:, None] != outputs)
            if reads == writes:
                reads, cost = 1, cost.diagonal()[None]  # one choice, not two independent ones
            indices = tuple(depths[case.stage].index(depth) for depth in case.depths) if case.stage else ()
            key = (reads, writes, case.stage, indices, term.part)
            merged[key] = merged[key] + cost if key in merged else cost
    return [CostTable(*key[:4], cost, key[4]) for key, cost in merged.items()]


def by_part(tables: Iterable[CostTable]) -> list[list[CostTable]]:
    """The tables of each sum; the cost is the largest of the sums."""
    parts: dict[int, list[CostTable]] = {}
    for table in tables:
        parts.setdefault(table.part, []).append(table)
    return list(parts.values())


def channels(width: Width, candidates: Mapping[str, tuple[int, ...] | Tensor]) -> Tensor:
    """The numbers of channels that a width can have, (candidates,) float64."""
    counts = (width,) if isinstance(width, int) else candidates[width]
    return counts.double().cpu() if isinstance(counts, Tensor) else torch.tensor(counts, dtype=torch.float64)
