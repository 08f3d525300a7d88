"""FLOPs of a network: exact for one architecture, expected over a distribution of them.

One unit throughout: a FLOP is one multiply-add of a convolution or a linear layer, as in the paper. Batch norm,
activations, pooling, interpolation and biases are not counted. `torch.utils.flop_counter` counts two per multiply-add.

One formula throughout: a network's cost is a sum of tables, each over the candidates of two widths, each switched on by
the depth of a stage. Their exact sum, their expectation and the search for the best architecture inside a budget
(`tas.derivation`) read the same tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

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
    plan: Plan, widths: Mapping[str, tuple[int, ...] | Tensor], depths: Mapping[str, tuple[int, ...]]
) -> list[CostTable]:
    """The cost of every network that the candidates allow; layers with the same ends share a table.

    Widths may be tensors, (candidates,), of numbers that need not be whole: the costs are differentiable in them.
    """
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


def channels(width: Width, candidates: Mapping[str, tuple[int, ...] | Tensor]) -> Tensor:
    """The numbers of channels that a width can have, (candidates,) float64."""
    counts = (width,) if isinstance(width, int) else candidates[width]
    return counts.double().cpu() if isinstance(counts, Tensor) else torch.tensor(counts, dtype=torch.float64)


class ExpectedFlops:
    """The expectation of the FLOPs over all networks, every width and depth chosen independently.

    Exact, not an estimate: no table's two widths and depth depend on one another, so each term is a product. The sum
    over the tables is one product of padded tensors; a loop over them would be many small operations in each step.

    Args:
        tables: The costs.
    """

    def __init__(self, tables: Sequence[CostTable]) -> None:
        self.widths = list(dict.fromkeys(end for t in tables for end in (t.reads, t.writes) if isinstance(end, str)))
        self.stages = list(dict.fromkeys(t.stage for t in tables if t.stage is not None))
        # Row 0 of the probabilities is a certain choice: of numbers that are fixed, of what is always paid.
        width_row: dict[Width | None, int] = {name: row for row, name in enumerate(self.widths, 1)}
        stage_row: dict[Width | None, int] = {name: row for row, name in enumerate(self.stages, 1 + len(self.widths))}
        ends = [(width_row.get(t.reads, 0), width_row.get(t.writes, 0), stage_row.get(t.stage, 0)) for t in tables]
        paid = [t.depths if t.stage is not None else (0,) for t in tables]
        self.most = max(max(*table.flops.shape, 1 + max(depths)) for table, depths in zip(tables, paid))
        flops = torch.zeros(len(tables), self.most, self.most, dtype=torch.float64)
        when = torch.zeros(len(tables), self.most, dtype=torch.float64)
        for index, table in enumerate(tables):
            flops[index, : table.flops.shape[0], : table.flops.shape[1]] = table.flops
            when[index, list(paid[index])] = 1
        self.tensors: tuple[Tensor, ...] = torch.tensor(ends).t(), flops, when

    def __call__(self, widths: Probabilities, depths: Probabilities) -> Tensor:
        """The expected FLOPs: a float64 scalar, differentiable in the probabilities."""
        return self.total(self.rows(widths, depths))

    def at_argmax(self, widths: Probabilities, depths: Probabilities) -> Tensor:
        """The FLOPs of the network of the most probable candidates: a float64 scalar."""
        rows = self.rows(widths, depths).detach()
        return self.total(nn.functional.one_hot(rows.argmax(1), rows.shape[1]).to(rows))

    def rows(self, widths: Probabilities, depths: Probabilities) -> Tensor:
        """All probabilities, (1 + widths + stages, most candidates), zero beyond the candidates that there are."""
        given = [*(widths[name] for name in self.widths), *(depths[name] for name in self.stages)]
        certain = torch.eye(1, self.most, dtype=torch.float64)
        if not given:
            return certain
        rows = nn.utils.rnn.pad_sequence(given, batch_first=True)
        if rows.device.type == "mps":  # it has no double precision
            rows = rows.cpu()
        rows = nn.functional.pad(rows.double(), (0, self.most - rows.shape[1]))
        return torch.cat([certain.to(rows.device), rows])

    def total(self, rows: Tensor) -> Tensor:
        """The sum of all tables under these probabilities."""
        if self.tensors[0].device != rows.device:
            self.tensors = tuple(tensor.to(rows.device) for tensor in self.tensors)
        ends, flops, when = self.tensors
        reads, writes, stages = rows[ends]
        costs = (reads[:, None] @ flops @ writes[:, :, None]).flatten()
        return costs @ (stages * when).sum(1)


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


def nonzero_flops(network: nn.Module, input_shape: Sequence[int]) -> int:
    """The multiply-adds of a network whose factor is not a zero weight: what is left to do where zeros cost nothing.

    The same layers as `flops` counts, each weight as often as it is applied. Ordinary hardware multiplies by zeros too.

    Args:
        network: Any module that takes images (N, C, H, W).
        input_shape: (C, H, W) of one image.
    """
    modules = dict(network.named_modules())
    return sum(
        layer.positions * int(torch.count_nonzero(cast(Tensor, modules[layer.name].weight)))
        for layer in applied_layers(network, input_shape)
    )


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
