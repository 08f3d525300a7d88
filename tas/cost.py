"""FLOPs of a network: exact for one architecture, expected over a distribution of them.

One unit throughout: a FLOP is one multiply-add of a convolution or a linear layer, as in the paper. Batch norm,
activations, pooling, interpolation and biases are not counted. `torch.utils.flop_counter` counts two per multiply-add.

One formula throughout: a network's cost is a sum of tables, each over the candidates of two widths, each switched on by
the depth of a stage. Their exact sum, their expectation and the search for the best architecture inside a budget
(`tas.derivation`) read the same tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tas.applied import applied_layers, dtype_of, without_storage
from tas.architecture import Architecture
from tas.plan import Plan, Width

Probabilities = Mapping[str, Tensor]
"""Width or stage -> the probability of each of its candidates, (number of candidates,)."""


@dataclass(frozen=True)
class CostTable:
    """What the candidates of two widths cost together, paid when a stage has one of some depths."""

    reads: Width
    writes: Width
    stage: str | None
    """The stage whose depth decides whether it is paid; None: it always is."""
    depths: tuple[int, ...]
    """Indices of the depth candidates at which it is paid."""
    flops: Tensor
    """(candidates of `reads`, candidates of `writes`), float64: whole numbers are exact in it up to 2**53."""


def cost_tables(
    plan: Plan, widths: Mapping[str, tuple[int, ...]], depths: Mapping[str, tuple[int, ...]]
) -> list[CostTable]:
    """The cost of every network that the candidates allow; layers with the same ends share a table."""
    merged: dict[tuple[Width, Width, str | None, tuple[int, ...]], Tensor] = {}
    for layer in plan.layers:
        scale = layer.kernel * layer.positions * layer.writes.repeat
        for segment in layer.reads:
            for case in plan.cases(layer, segment.source, depths):
                reads, writes = case.reads, layer.writes.source
                inputs, outputs = channels(reads, widths), channels(writes, widths)
                cost = scale * segment.repeat * inputs[:, None] * outputs
                if layer.if_unequal:
                    cost = cost * (inputs[:, None] != outputs)
                if reads == writes:
                    reads, cost = 1, cost.diagonal()[None]  # one choice, not two independent ones
                indices = tuple(depths[case.stage].index(depth) for depth in case.depths) if case.stage else ()
                key = (reads, writes, case.stage, indices)
                merged[key] = merged[key] + cost if key in merged else cost
    return [CostTable(*key, cost) for key, cost in merged.items()]


def channels(width: Width, candidates: Mapping[str, tuple[int, ...]]) -> Tensor:
    """The numbers of channels that a width can have, (candidates,) float64."""
    return torch.tensor([width] if isinstance(width, int) else candidates[width], dtype=torch.float64)


def expected_flops(tables: Sequence[CostTable], widths: Probabilities, depths: Probabilities) -> Tensor:
    """The expectation of the FLOPs over all networks, every width and depth chosen independently.

    Exact, not an estimate: no table's two widths and depth depend on one another, so each term is a product.

    Returns:
        A float64 scalar on the CPU, differentiable in the probabilities.
    """
    certain = torch.ones(1, dtype=torch.float64)
    chosen = {name: p.double().cpu() for name, p in (*widths.items(), *depths.items())}

    def probabilities(width: Width) -> Tensor:
        return certain if isinstance(width, int) else chosen[width]

    total = torch.zeros((), dtype=torch.float64)
    for table in tables:
        cost = probabilities(table.reads) @ table.flops @ probabilities(table.writes)
        total = total + (cost if table.stage is None else cost * chosen[table.stage][list(table.depths)].sum())
    return total


def exact_flops(plan: Plan, architecture: Architecture) -> int:
    """The FLOPs of one architecture, from the plan of the unpruned network: every choice has one candidate."""
    widths = {name: (value,) for name, value in architecture.widths.items()}
    depths = {name: (value,) for name, value in architecture.depths.items()}
    return sum(int(table.flops) for table in cost_tables(plan, widths, depths))


def flops(network: nn.Module, input_shape: Sequence[int]) -> int:
    """The multiply-adds of a network's 2-d convolutions and linear layers for one image; nothing else is counted.

    Args:
        network: Any module that takes images (N, C, H, W).
        input_shape: (C, H, W) of one image.
    """
    layers = applied_layers(network, input_shape)
    return sum(layer.kernel * layer.positions * layer.in_channels * layer.out_channels for layer in layers)


def uncounted(network: nn.Module, input_shape: Sequence[int]) -> float:
    """The share of a network's multiply-adds, by torch's counter, that `flops` does not see: attention, for example.

    Args:
        network: Any module that takes images (N, C, H, W).
        input_shape: (C, H, W) of one image.
    """
    twin = without_storage(network)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        twin(torch.empty(1, *input_shape, dtype=dtype_of(twin)))
    everything = counter.get_total_flops() / 2
    return 1 - flops(network, input_shape) / everything if everything else 0.0


def parameters(network: nn.Module) -> int:
    """How many numbers training sets: weights, biases and the normalisation's scales and shifts."""
    return sum(parameter.numel() for parameter in network.parameters())
