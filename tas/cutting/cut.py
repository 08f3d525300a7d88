"""Smaller networks cut out of a network: its first channels, or any of them, in the order that one wants."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tas.architecture import Architecture, check_within
from tas.errors import TasError, blame
from tas.reading.plan import Plan, Segment


@runtime_checkable
class Resizable(Protocol):
    """A network that makes itself smaller: one that is built of numbers, and has layers the unpruned one lacks."""

    def resized(self, widths: Mapping[str, int], depths: Mapping[str, int]) -> nn.Module:
        """A network of other widths and depths, freshly initialised, of the same type of number, on the same device.

        Raises:
            TasError: The network has not these widths and depths.
        """


ChannelIndices = Mapping[str, Tensor]
"""Width -> the channels to take, (number taken,) int64, in the order wanted."""


def cut(
    network: nn.Module, plan: Plan, architecture: Architecture, state: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """The network of an architecture: of the same class, with smaller layers and fewer blocks.

    Each layer keeps the first channels of its widths. Where a network has layers that the unpruned one lacks, as a
    CIFAR ResNet has a projection where an addition joins two widths that differ, these are fresh.

    Args:
        network: The unpruned network.
        plan: Its structure.
        architecture: The widths and depths.
        state: Weights of the unpruned network to take instead of its own, such as `Supernet.weights` gives.

    Raises:
        TasError: The architecture is another network's.
    """
    check_architecture(plan, architecture)
    state = network.state_dict() if state is None else state
    taken = select_channels(state, plan, first_channels(architecture), architecture.depths)
    small: nn.Module
    if isinstance(network, Resizable):
        small = network.resized(architecture.widths, architecture.depths)
    else:
        small = copy.deepcopy(network)
        for name, depth in architecture.depths.items():
            stage = plan.stages[name]
            for block in stage.blocks[depth:]:
                leave_out(small, f"{stage.container}.{block}".lstrip("."))
    own = small.state_dict().keys()
    shrink(small, {name: tensor for name, tensor in taken.items() if name in own})
    modules = dict(small.named_modules())
    widths = first_channels(architecture)
    for item in plan.channelwise:
        if item.name in modules:
            set_features(modules[item.name], len(feature_indices(plan, item.segments, widths, architecture.depths)))
    return small


def check_architecture(plan: Plan, architecture: Architecture) -> None:
    """TasError unless the architecture has the widths and depths of the plan."""
    with blame(f"the architecture of {architecture.network}"):
        if architecture.num_classes != plan.logits:
            raise TasError(f"is for {architecture.num_classes} classes; the network has {plan.logits}")
        check_within("widths", architecture.widths, plan.all_widths())
        for name, other in plan.tied.items():
            if architecture.widths[name] != architecture.widths[other]:
                raise TasError(f"widths[{name!r}] differs from widths[{other!r}], to which it is tied")
        check_within("depths", architecture.depths, plan.depths())
        for name, unit in plan.units.items():
            if architecture.widths[name] % unit:
                raise TasError(f"widths[{name!r}] is {architecture.widths[name]}; it must be a multiple of {unit}")


class LeftOut(nn.Identity):
    """In the place of a block: however it is called, it gives back what it is given.

    `isinstance` takes it for what it stands for, as forward passes ask what a block is; `type` does not.

    Args:
        stands_for: The block's class.
    """

    def __init__(self, stands_for: type[nn.Module]) -> None:
        super().__init__()
        self.stands_for = stands_for

    @property  # type: ignore[misc]  # mypy knows that of the interpreter, which may be assigned to
    def __class__(self) -> Any:
        return self.stands_for

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Pickled as what it is."""
        return LeftOut, (self.stands_for,), vars(self)

    def _get_name(self) -> str:
        return LeftOut.__name__  # where a network is printed

    # nn.Module asks the class whether there is state beside parameters and buffers; here there is none at all.

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        pass

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any
    ) -> None:
        if strict:
            unexpected += [key for key in state_dict if key.startswith(prefix)]

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The first thing that it is given, as it is."""
        given: Tensor = next(iter((*args, *kwargs.values())))
        return given


def leave_out(network: nn.Module, block: str) -> None:
    """Put nothing in the place of a block, under all its names: the others keep theirs, and what asks for it by its
    index finds it.

    The plain attributes of the block, such as a number of channels, are still there.
    """
    left = network.get_submodule(block)
    empty = LeftOut(left.__class__)
    for name, value in vars(left).items():
        if name not in vars(empty) and isinstance(value, bool | int | float | str | tuple):
            setattr(empty, name, value)
    for container in network.modules():
        for name, child in container._modules.items():
            if child is left:
                container._modules[name] = empty


def first_channels(architecture: Architecture) -> dict[str, Tensor]:
    """The channels that an architecture keeps: of each width the first."""
    return {name: torch.arange(count) for name, count in architecture.widths.items()}


def select_channels(
    state: Mapping[str, Tensor], plan: Plan, channels: ChannelIndices, depths: Mapping[str, int]
) -> dict[str, Tensor]:
    """The state of a network with these channels of its widths.

    Args:
        state: That of the unpruned network.
        plan: Its structure.
        channels: What to take, for every width; taking all in another order gives the same network, sorted.
        depths: Blocks that every stage keeps; they decide what a layer after a stage reads.
    """
    result = dict(state)

    def take(name: str, dim: int, segments: Sequence[Segment]) -> None:
        if all(isinstance(part.source, int) for part in segments):
            return
        full = sum(part.repeat * plan.channels(plan.resolve(part.source, depths)) for part in segments)
        tensor = result[name]
        times = tensor.shape[dim] // full
        index = feature_indices(plan, segments, channels, depths)
        index = (times * index[:, None] + torch.arange(times)).flatten()
        result[name] = tensor.index_select(dim, index.to(tensor.device))

    owned: dict[str, list[str]] = {}
    for name in state:
        owned.setdefault(name.rpartition(".")[0], []).append(name)

    def take_all(module: str, segments: Sequence[Segment]) -> None:
        for name in owned.get(module, ()):
            tensor = state[name]
            if isinstance(tensor, Tensor) and tensor.dim() > 0:
                take(name, 0, segments)

    channelwise = {item.name for item in plan.channelwise}
    for layer in plan.layers:
        if layer.name in channelwise or f"{layer.name}.weight" not in state:
            continue
        take_all(layer.name, [layer.writes])
        take(f"{layer.name}.weight", 1, layer.reads)
        if layer.norm is not None:
            take_all(layer.norm, [layer.writes])
    for item in plan.channelwise:
        if item.bare:
            take(item.name, item.dim, item.segments)
        else:
            take_all(item.name, item.segments)
    return result | second_names(state, result)


def second_names(state: Mapping[str, Tensor], taken: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a state has under a second name, where a module has two: what was taken of it under the first."""
    first: dict[tuple[int, torch.Size], str] = {}
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    real = {name: tensor for name, tensor in tensors.items() if tensor.numel() and not tensor.is_meta}
    names = {name: first.setdefault((tensor.data_ptr(), tensor.shape), name) for name, tensor in real.items()}
    return {name: taken[original] for name, original in names.items() if original != name}


def feature_indices(
    plan: Plan, segments: Sequence[Segment], channels: ChannelIndices, depths: Mapping[str, int]
) -> Tensor:
    """The indices, in a dimension of these segments, of the features that the channels become."""
    start, parts = 0, []
    for segment in segments:
        width = plan.resolve(segment.source, depths)
        full = plan.channels(width)
        index = torch.arange(full) if isinstance(width, int) else channels[width]
        parts.append((start + segment.repeat * index[:, None] + torch.arange(segment.repeat)).flatten())
        start += segment.repeat * full
    return torch.cat(parts)


def shrink(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network's modules these tensors, in place, and the numbers of channels that go with them."""
    modules = dict(network.named_modules(remove_duplicate=False))
    for name, tensor in state.items():
        owner, _, key = name.rpartition(".")
        module = modules[owner]
        if not isinstance(tensor, Tensor):  # what a module keeps besides; a copy has it
            continue
        if key in module._parameters:
            module._parameters[key] = nn.Parameter(tensor.clone(), requires_grad=module._parameters[key].requires_grad)
        else:
            module._buffers[key] = tensor.clone()
    for module in modules.values():
        set_counts(module)


def set_counts(module: nn.Module) -> None:
    """Make the attributes of a layer say what its weights are."""
    weight = getattr(module, "weight", None)
    if isinstance(module, nn.Conv2d) and module.groups == 1:
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.modules.batchnorm._NormBase) and isinstance(weight, Tensor):
        module.num_features = len(weight)  # of a layer's own norm


def set_features(module: nn.Module, count: int) -> None:
    """Make the attributes of a module that treats every channel by itself say how many there are to treat.

    Its weights do not say it: it may have none.
    """
    if isinstance(module, nn.Conv2d):
        features = module.out_channels // module.in_channels
        module.groups = count // module.weight.shape[1]
        module.in_channels, module.out_channels = count, features * count
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        module.num_features = count
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = (count,)
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = count
    elif isinstance(module, nn.PReLU):
        module.num_parameters = count
