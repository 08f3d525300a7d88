"""The costs that people pay: one table from a name to what it is. A new one is a file here and one entry.

A FLOP is one multiply-add of a convolution or a linear layer, as in the paper. Batch norm, activations, pooling,
interpolation and biases are not counted. A parameter is a number that training sets: weights, biases, the scales and
shifts of norms.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from tas.architecture import Architecture
from tas.cost.count import flops, parameters
from tas.cost.tables import CostTable, Term, bilinear, by_part, tables_of
from tas.reading.plan import Plan


@dataclass(frozen=True)
class Measure:
    """One kind of cost: a sum over what a network is made of, or the largest of several sums."""

    name: str
    """In options, files and curves."""
    words: str
    """In tables and messages."""
    terms: Callable[[Plan], Iterator[Term]]
    """What a network of this plan pays."""
    write: Callable[[float], str] = "{:,.0f}".format
    """A cost as people write it, with its unit where it has one."""
    maximum: bool = False
    """Whether it is the largest of the sums over the parts of its terms. What has a target for a maximum has to be at
    most that, and may be as much below as it likes."""

    def told(self, cost: float) -> str:
        """A cost in words."""
        return f"{self.write(cost)} {self.words}"

    def tables(
        self, plan: Plan, widths: Mapping[str, tuple[int, ...] | Tensor], depths: Mapping[str, tuple[int, ...]]
    ) -> list[CostTable]:
        """The cost of every network that the candidates allow, as for `tables_of`."""
        return tables_of(self.terms(plan), plan, widths, depths)

    def exact(self, plan: Plan, architecture: Architecture) -> int:
        """The cost of one architecture, from the plan of the unpruned network: every choice has one candidate."""
        widths = {name: (value,) for name, value in architecture.widths.items()}
        depths = {name: (value,) for name, value in architecture.depths.items()}
        return max(sum(int(table.cost) for table in part) for part in by_part(self.tables(plan, widths, depths)))


def flops_terms(plan: Plan) -> Iterator[Term]:
    """The multiply-adds of every layer."""
    for layer in plan.layers:
        scale = layer.taps * layer.positions * layer.writes.repeat
        for segment in layer.reads:
            ends = segment.source, layer.writes.source
            yield Term(*ends, bilinear(scale * segment.repeat), layer.stage, layer.block, layer.if_unequal)


def params_terms(plan: Plan) -> Iterator[Term]:
    """The weights, biases and norms of every layer, what goes with single channels, and the rest."""
    for layer in plan.layers:
        each_output = layer.writes.repeat * (layer.bias + 2 * (layer.norm is not None))
        for segment in layer.reads:
            scale = layer.taps * layer.writes.repeat * segment.repeat
            ends = segment.source, layer.writes.source
            yield Term(*ends, bilinear(scale, each_output), layer.stage, layer.block, layer.if_unequal)
            each_output = 0  # once, however many parts it reads
    for item in plan.channelwise:
        for part in item.segments:
            yield Term(part.source, 1, bilinear(item.parameters * part.repeat), item.stage, item.block)
    for rest in plan.rest:
        yield Term(1, 1, bilinear(rest.parameters), rest.stage, rest.block)


@dataclass(frozen=True)
class CountedMeasure(Measure):
    """One that can be counted without measuring anything."""

    count: Callable[[nn.Module, Sequence[int]], int] = field(kw_only=True)
    """The cost of a network as it is, given (C, H, W) of one image."""


FLOPS = CountedMeasure("flops", "FLOPs", flops_terms, count=flops)
PARAMS = CountedMeasure("params", "parameters", params_terms, count=lambda network, input_shape: parameters(network))

MEASURES = {measure.name: measure for measure in (FLOPS, PARAMS)}
"""Name -> measure, of those that are counted."""
