"""Sparse Structure Selection: a factor on every block that can go, drawn to zero while the network is trained."""

import copy
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.cutting.cut import cut
from tas.errors import TasError
from tas.pruning.channels import refusal
from tas.pruning.penalty import shrinking_weight
from tas.pruning.task import Pruned, PruneTask
from tas.pruning.training import Gates, train_here
from tas.reading.plan import Plan
from tas.space.nearest import nearest
from tas.training.module import TrainModule

BlockPlace = tuple[str, int]
"""A stage and the place of a block in it, from 0."""


class BlockFactors(Gates):
    """One factor for each block, 1 at first, on what the block adds; a step of SGD and one of shrinkage by turns.

    The shrinkage is the proximal step of the L1 penalty: it can reach zero, where a subgradient would only swing about.

    Args:
        count: Blocks.
        weight: Of the L1 penalty; None has it follow from the length of the training.
        momentum: Of the factors' SGD; its learning rate is that of the weights.
    """

    def __init__(self, count: int, weight: float | None, momentum: float) -> None:
        super().__init__(nn.ParameterList(torch.ones(()) for _ in range(count)))
        self.weight = weight
        self.momentum = momentum

    def optimizer(self) -> torch.optim.Optimizer:
        """SGD; the learning rate is set before every step."""
        return torch.optim.SGD(self.gates, lr=1.0, momentum=self.momentum, nesterov=self.momentum > 0)

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, module)
        assert isinstance(module, TrainModule)
        if self.weight is None:
            self.weight = shrinking_weight(module.recipe.lr, int(trainer.estimated_stepping_batches), momentum=0.0)

    def before_step(self, module: TrainModule, progress: float) -> None:
        """Take the learning rate of the weights."""
        assert self.stepper is not None
        optimizer: Any = module.optimizers()
        self.stepper.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]

    def after_step(self, module: TrainModule) -> None:
        """Shrink every factor toward zero by learning rate x weight."""
        assert self.stepper is not None and self.weight is not None
        step = self.stepper.param_groups[0]["lr"] * self.weight
        for gate in self.gates:
            gate.copy_(gate.sign() * (gate.abs() - step).clamp_min(0))


def sss(task: PruneTask) -> Pruned:
    """Blocks with the smallest factors go (Huang & Wang 2018, "Data-Driven Sparse Structure Selection for Deep Neural
    Networks"), until the cost is nearest to the target: blocks are coarse, so few costs can be reached."""
    ends = removable_blocks(task.plan)
    if not ends:
        raise refusal(task, "it has no blocks that could be left out")
    network = copy.deepcopy(task.network)
    check_gates(task, ends)
    factors = BlockFactors(len(ends), task.options.pruning.sparsity_weight, task.options.recipe.momentum)
    gated = gate_outputs(network, list(ends.values()), factors.gates)
    before = train_here(task, network, factors)
    for hook in gated:
        hook.remove()
    values = [gate.item() for gate in factors.gates]
    fold(network, list(ends.values()), values)
    order = sorted(range(len(values)), key=lambda place: abs(values[place]))
    blocks = [list(ends)[place] for place in order]

    def left(count: int) -> Architecture:
        depths = dict(task.full.depths)
        for stage, _ in blocks[:count]:
            depths[stage] -= 1
        return task.full.with_counts(task.full.widths, depths)

    best = nearest(lambda count: task.cost(left(count)), len(blocks), task.budget.target)
    architecture = left(best.knob)
    state = moved_up(network.state_dict(), task.plan, blocks[: best.knob])
    small = cut(network, task.plan, architecture, state)
    return Pruned(architecture, small, best.cost, best.around, sparsity_weight=factors.weight, seconds_before=before)


def removable_blocks(plan: Plan) -> dict[BlockPlace, str]:
    """Every block but the first of each stage -> the module that ends its branch: the last norm, or convolution."""
    found: dict[BlockPlace, str] = {}
    for layer in plan.layers:
        if layer.stage is not None and layer.block > 0 and not layer.if_unequal:
            found[layer.stage, layer.block] = layer.norm or layer.name
    return found


def gate_outputs(
    network: nn.Module, names: list[str], gates: nn.ParameterList
) -> list[torch.utils.hooks.RemovableHandle]:
    """Multiply what each of these modules gives by a factor."""

    def hook(gate: nn.Parameter) -> Any:
        return lambda module, inputs, output: gate * output

    return [network.get_submodule(name).register_forward_hook(hook(gate)) for name, gate in zip(names, gates)]


def check_gates(task: PruneTask, ends: Mapping[BlockPlace, str]) -> None:
    """TasError unless a factor of zero does what leaving the block out does."""
    gated, images = copy.deepcopy(task.network).eval(), task.judging_batches()[0][0][:2]
    fold(gated, list(ends.values()), [0.0] * len(ends))
    least = task.full.with_counts(task.full.widths, dict.fromkeys(task.full.depths, 1))
    short = cut(task.network, task.plan, least).eval()
    with torch.no_grad():
        if not torch.allclose(gated(images), short(images), rtol=1e-3, atol=1e-4):
            raise refusal(task, "its blocks do not add what their last layer gives to what they are given")


def fold(network: nn.Module, names: list[str], factors: list[float]) -> None:
    """Multiply the weights and biases of modules by factors, which is what a factor on their outputs does."""
    with torch.no_grad():
        for name, factor in zip(names, factors):
            for parameter in network.get_submodule(name).parameters():
                parameter.mul_(factor)


def moved_up(state: Mapping[str, Tensor], plan: Plan, gone: list[BlockPlace]) -> dict[str, Tensor]:
    """The state with the blocks that stay in the first places of their stage, those that are gone in the last ones.

    Args:
        state: The unpruned network's; the blocks of a stage after the first have the same shapes.
        plan: Its structure.
        gone: Blocks that leave.
    """
    result = dict(state)
    for name, stage in plan.stages.items():
        lost = [place for place in range(len(stage.blocks)) if (name, place) in gone]
        kept = [place for place in range(len(stage.blocks)) if (name, place) not in gone]
        for place, source in enumerate([*kept, *lost]):
            old, new = (".".join(filter(None, (stage.container, stage.blocks[p]))) + "." for p in (source, place))
            for key in [key for key in state if key.startswith(old)]:
                moved = new + key.removeprefix(old)
                if moved not in state or state[moved].shape != state[key].shape:
                    raise TasError(
                        f"the blocks of {name} differ in more than their weights; --method sss cannot move them"
                    )
                result[moved] = state[key]
    return result
