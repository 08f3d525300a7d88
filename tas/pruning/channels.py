"""Taking channels out of a network with torch_pruning, and reading off what is left as an architecture.

torch_pruning (Fang et al. 2023, "DepGraph: Towards Any Structural Pruning") finds the layers that have to lose the same
channels, one group for each set of channels; identity shortcuts tie what they join. An importance gives each channel of
a group a score; the lowest of all groups go.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch_pruning as tp
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.cost.measures import MEASURES
from tas.cutting.build import build
from tas.errors import TasError, gist
from tas.pruning.task import Pruned, PruneTask
from tas.space.nearest import nearest

LEAST_SHARE = 0.1
"""The share of a group's channels that stays in any case, so that no layer vanishes."""

WRITING = (tp.prune_conv_out_channels, tp.prune_linear_out_channels)
"""How torch_pruning names a layer that makes a group's channels; it has another name for a depthwise convolution."""
READING = (tp.prune_conv_in_channels, tp.prune_linear_in_channels)
"""How it names a layer that reads them."""

Importance = Callable[[tp.Group], Tensor | None]
"""From a group of torch_pruning to a score of each of its channels, (channels,); None leaves the group alone."""


class Floored:
    """An importance, asked once for each group, that puts the best channels of every group beyond any threshold, and
    has the others go by so many that what stays is a multiple.

    Args:
        importance: Any.
        multiple: Of what the channels that stay of a group are a multiple, unless all do.
    """

    def __init__(self, importance: Importance, multiple: int) -> None:
        self.importance = importance
        self.multiple = multiple
        self.scores: dict[nn.Module, Tensor | None] = {}

    def __call__(self, group: tp.Group) -> Tensor | None:
        root = group[0].dep.target.module
        if root not in self.scores:
            self.scores[root] = self.floored(self.importance(group))
        return self.scores[root]

    def floored(self, scores: Tensor | None) -> Tensor | None:
        """The scores, in double precision; infinite for those that stay in any case."""
        if scores is None:
            return None
        # A group whose channels are all worth nothing comes out as 0/0 where scores are shares of the mean.
        scores = torch.nan_to_num(scores.detach().double().cpu(), nan=0.0)
        least = self.multiple * math.ceil(LEAST_SHARE * len(scores) / self.multiple)
        scores[scores.topk(min(least, len(scores))).indices] = math.inf
        return bundled(scores, self.multiple)

    def removable(self) -> int:
        """Channels that may go."""
        return sum(int(scores.isfinite().sum()) for scores in self.scores.values() if scores is not None)

    def all(self) -> int:
        """Channels that have a score."""
        return sum(len(scores) for scores in self.scores.values() if scores is not None)


def bundled(scores: Tensor, multiple: int) -> Tensor:
    """Scores by which no threshold leaves another number of channels than all of them, or a multiple.

    From the worst channel on as many share their mean as go together, which are first those that are too many for a
    multiple.

    Args:
        scores: Of the channels of a group, (channels,); what is infinite are the best ones, as many as a multiple.
        multiple: Channels that go together.
    """
    order = scores.argsort(stable=True)
    first = len(scores) % multiple
    together = [*([first] if first else []), *[multiple] * (len(scores) // multiple)]
    result = torch.empty_like(scores)
    for bundle in torch.split(order, together):
        result[bundle] = scores[bundle].mean()
    return result


class ChannelPruner:
    """Takes the least important channels out of a network, ranked over all its groups together.

    Args:
        task: Says what the network is.
        network: The network to take channels from, in place; that of the task, or a copy with other weights.
        importance: Of the channels of one group.

    Raises:
        TasError: torch_pruning cannot read the network.
    """

    def __init__(self, task: PruneTask, network: nn.Module, importance: Importance) -> None:
        self.task = task
        self.network = network.eval().requires_grad_(True)  # torch_pruning follows gradients through it
        self.names = {module: name for name, module in network.named_modules()}
        self.importance = Floored(importance, task.options.pruning.round_to)
        self.pruner = make_pruner(task, network, self.importance)
        self.removed: dict[str, list[int]] = {}
        """Layer -> the output channels that it has lost."""
        self.groups(0)
        if not self.importance.removable():
            multiple = task.options.pruning.round_to
            of_what = f" by multiples of {multiple}, as --round-to asks" if multiple > 1 else ""
            raise refusal(task, f"there is no channel that it could remove{of_what}")

    def groups(self, removed: int) -> list[tp.Group]:
        """The channels that go when `removed` do, by group; nothing is done yet."""
        total = self.importance.all()
        # torch_pruning makes a number out of the ratio by rounding down what stays.
        self.pruner.per_step_pruning_ratio = [0.0, (removed - 0.5) / total if total else 0.0]
        self.pruner.reset()
        return list(self.pruner.step(interactive=True))

    def architecture(self, removed: int) -> Architecture:
        """What is left when `removed` channels have gone."""
        plan, full = self.task.plan, self.task.full
        repeats = {layer.name: layer.writes.repeat for layer in plan.layers}
        widths = dict(full.widths)
        for group in self.groups(removed):
            for dep, indices in group.items:
                name = self.names.get(dep.target.module)
                if name in widths and dep.handler in (*WRITING, tp.prune_depthwise_conv_out_channels):
                    widths[name] = full.widths[name] - len(indices) // repeats[name]
        return full.with_counts(widths, full.depths)

    def to_budget(self) -> Pruned:
        """Take out channels until the cost is nearest to the target. TasError if the plan says otherwise."""
        task = self.task
        best = nearest(
            lambda removed: task.cost(self.architecture(removed)),
            self.importance.removable(),
            task.budget.target,
            task.budget.measure.maximum,
        )
        architecture = self.architecture(best.knob)
        for group in self.groups(best.knob):
            lost = [(self.names[dep.target.module], indices) for dep, indices in group.items if dep.handler in WRITING]
            self.removed |= {name: list(indices) for name, indices in lost}
            group.prune()
        check_same(task, architecture, self.network)
        return Pruned(architecture, self.network.train(), best.cost, best.around)


def make_pruner(task: PruneTask, network: nn.Module, importance: Importance) -> tp.pruner.BasePruner:
    """torch_pruning's pruner, ranking over all groups. TasError where it cannot read the network."""
    try:
        pruner = tp.pruner.BasePruner(network, **pruner_options(task, network), importance=importance)
    except Exception as error:  # it raises what it likes
        raise refusal(task, f"torch_pruning cannot read it ({gist(error)})") from None
    if pruner.in_channel_groups or pruner.out_channel_groups:
        raise refusal(task, "torch_pruning treats its grouped convolutions or norms otherwise than TAS does")
    return pruner


def pruner_options(task: PruneTask, network: nn.Module) -> dict[str, object]:
    """What torch_pruning's pruners are told: which layers keep their channels, and what an image is."""
    modules = dict(network.named_modules())
    fixed = [layer.name for layer in task.plan.layers if isinstance(layer.writes.source, int)]
    return {
        "example_inputs": torch.randn(1, *task.input_shape, generator=torch.Generator().manual_seed(0)),
        "global_pruning": True,
        "ignored_layers": [modules[name] for name in fixed if name in modules],
        "in_channel_groups": {},  # the defaults are shared between all pruners
        "out_channel_groups": {},
    }


def check_same(task: PruneTask, architecture: Architecture, network: nn.Module) -> None:
    """TasError unless a pruned network is what the architecture builds, and that is what was asked for."""
    as_planned = (
        measure.count(network, task.input_shape) == measure.exact(task.plan, architecture)
        for measure in MEASURES.values()
    )
    built = {name: tensor.shape for name, tensor in build(architecture).state_dict().items()}
    multiple = task.options.pruning.round_to
    odd = [name for name, kept in architecture.widths.items() if kept % multiple and kept != task.full.widths[name]]
    if odd:
        raise refusal(task, f"--round-to {multiple} cannot be kept by {odd[0]}, whose channels are in parts")
    if not all(as_planned) or built != {name: tensor.shape for name, tensor in network.state_dict().items()}:
        raise refusal(task, "torch_pruning removes other channels of it than TAS would")


def refusal(task: PruneTask, why: str) -> TasError:
    """An error that names the method and the network, and what is left to do."""
    return TasError(
        f"--method {task.options.pruning.method}: not for {task.full.network}: {why}; uniform and random are"
    )


def writers(group: tp.Group) -> list[nn.Module]:
    """The layers that make a group's channels, depthwise convolutions left out."""
    return [dep.target.module for dep, _ in group.items if dep.handler in WRITING]


def readers(group: tp.Group) -> list[tuple[nn.Module, Sequence[int], Sequence[int]]]:
    """The layers that read a group's channels; for each of these inputs, which channel of the group it is."""
    return [
        (group[place].dep.target.module, group[place].idxs, group[place].root_idxs)
        for place in range(len(group))
        if group[place].dep.handler in READING
    ]
