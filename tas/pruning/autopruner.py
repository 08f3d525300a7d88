"""AutoPruner: a sigmoid code on every channel, learned with the weights, its slope raised until it is 0 or 1."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn

from tas.cost.measures import Measure
from tas.pruning.channels import ChannelPruner, make_pruner, readers, writers
from tas.pruning.task import Pruned, PruneTask
from tas.pruning.training import Gates, train_here
from tas.reading.plan import Plan
from tas.training.module import TrainModule
from tas.training.schedules import linear

SLOPES = (1.0, 20.0)
"""Slope of the sigmoid at the start and at the end of the training; it rises linearly."""
CODE_LR = 0.02
"""Learning rate of the codes (Adam)."""
PULL = 10.0
"""Weight of the penalty that draws the expected cost to the target."""


@dataclass(frozen=True)
class Gated:
    """A set of channels that go together."""

    channels: int
    widths: tuple[str, ...]
    """The plan's widths that they are."""
    readers: tuple[tuple[nn.Module, Tensor, Tensor], ...]
    """Layers that read them; inputs of the layer, and the channel that each one is."""


class Codes(Gates):
    """One code for each channel of each set; sigmoid(slope x code) multiplies the channel wherever it is read.

    There and not where it is made, since a batch norm in between would undo it.

    Args:
        task: What is pruned, and to which budget.
        gated: The sets.
    """

    def __init__(self, task: PruneTask, gated: Sequence[Gated]) -> None:
        share = task.budget.target / task.cost(task.full)
        # Narrowing all widths by sqrt(share) leaves about that share of the cost: there the penalty starts near zero.
        start = min(math.sqrt(share), 0.95)
        code = math.log(start / (1 - start)) / SLOPES[0]
        super().__init__(nn.ParameterList(torch.full((one.channels,), code) for one in gated))
        self.plan, self.measure = task.plan, task.budget.measure
        self.gated = gated
        self.target = share * soft_cost(self.measure, self.plan, {})
        self.slope = SLOPES[0]

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.gates, lr=CODE_LR)

    def values(self) -> list[Tensor]:
        """What multiplies the channels now, from 0 to 1, of each set (channels,)."""
        return [torch.sigmoid(self.slope * code) for code in self.gates]

    def before_step(self, module: TrainModule, progress: float) -> None:
        """Add the penalty's gradient and raise the slope."""
        kept = {name: value.sum() for one, value in zip(self.gated, self.values()) for name in one.widths}
        (PULL * (soft_cost(self.measure, self.plan, kept) / self.target - 1) ** 2).backward()  # type: ignore[no-untyped-call]
        self.slope = linear(*SLOPES, progress)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"slope": self.slope}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.slope = state_dict["slope"]

    def attach(self) -> list[torch.utils.hooks.RemovableHandle]:
        """Have every layer read its channels times their codes' values."""

        def hook(place: int, inputs: Tensor, channels: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], Any]:
            def gate(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                x = given[0]
                value = torch.sigmoid(self.slope * self.gates[place])
                factors = torch.ones(in_channels(module), device=x.device)
                factors = factors.index_copy(0, inputs.to(x.device), value[channels.to(x.device)])
                dim = 1 if isinstance(module, nn.Conv2d) else x.dim() - 1
                shape = [-1 if axis == dim else 1 for axis in range(x.dim())]
                return (x * factors.reshape(shape).to(x.dtype), *given[1:])

            return gate

        return [
            module.register_forward_pre_hook(hook(place, inputs, channels))
            for place, one in enumerate(self.gated)
            for module, inputs, channels in one.readers
        ]

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply the weights that read a channel by its code's value, which is what the hooks do to the channel."""
        for one, value in zip(self.gated, self.values()):
            for module, inputs, channels in one.readers:
                weight: Any = module.weight
                factors = value[channels].reshape(-1, *[1] * (weight.dim() - 2))
                weight[:, inputs] *= factors


class ByCode:
    """The codes' values as an importance.

    Args:
        values: Root of a group, as torch_pruning has it -> what multiplies its channels.
    """

    def __init__(self, values: Mapping[nn.Module, Tensor]) -> None:
        self.values = values

    def __call__(self, group: tp.Group) -> Tensor | None:
        return self.values.get(group[0].dep.target.module)


def autopruner(task: PruneTask) -> Pruned:
    """Learn the codes with the weights, then let the channels of the smallest codes go (Luo & Wu 2018, "AutoPruner: An
    End-to-End Trainable Filter Pruning Method")."""
    network = copy.deepcopy(task.network)
    network.eval().requires_grad_(True)
    roots, gated = channel_sets(task, network)
    codes = Codes(task, gated)
    hooks = codes.attach()
    before = train_here(task, network, codes)
    for hook in hooks:
        hook.remove()
    codes.fold()
    importance = ByCode({root: code.detach() for root, code in zip(roots, codes.gates)})
    pruned = ChannelPruner(task, network, importance).to_budget()
    return Pruned(pruned.architecture, pruned.network, pruned.cost, pruned.around, seconds_before=before)


def channel_sets(task: PruneTask, network: nn.Module) -> tuple[list[nn.Module], list[Gated]]:
    """The sets of channels that torch_pruning finds, and the layer by which it knows each."""
    pruner = make_pruner(task, network, tp.importance.MagnitudeImportance())
    names = {module: name for name, module in network.named_modules()}
    widths = {layer.name: layer.writes.source for layer in task.plan.layers}
    roots, found = [], []
    for group in pruner.DG.get_all_groups(
        ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types
    ):
        reading = tuple((m, torch.tensor(list(i)), torch.tensor(list(r))) for m, i, r in readers(group))
        made = dict.fromkeys(str(widths[names[module]]) for module in writers(group))
        if reading:
            roots.append(group[0].dep.target.module)
            found.append(Gated(len(group[0].idxs), tuple(made), reading))
    return roots, found


def in_channels(module: nn.Module) -> int:
    """Features that a convolution or linear layer reads."""
    assert isinstance(module, (nn.Conv2d, nn.Linear))
    return module.in_channels if isinstance(module, nn.Conv2d) else module.in_features


def soft_cost(measure: Measure, plan: Plan, kept: Mapping[str, Tensor]) -> Tensor:
    """The cost with these numbers of channels, which need not be whole, and all blocks: a differentiable scalar."""
    widths = {name: kept[name].reshape(1) if name in kept else (count,) for name, count in plan.widths.items()}
    depths = {name: (blocks,) for name, blocks in plan.depths().items()}
    return torch.stack([table.cost.sum() for table in measure.tables(plan, widths, depths)]).sum()
