"""Which blocks of a network can be left out: those that give their input's channels back, one after another."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any

from torch import fx, nn
from torch.fx import Node

from tas.reading.channels import Channels, Widths
from tas.reading.plan import Stage


def find_stages(
    graph: fx.Graph,
    modules: Mapping[str, nn.Module],
    values: Mapping[Node, Any],
    widths: Widths,
    repeated: Collection[str] = (),
) -> dict[str, Stage]:
    """The stages among the children of every nn.Sequential and nn.ModuleList, innermost first; they do not nest.

    A stage is a chain of blocks, each with one input and one output, of which all but the first are residual: they give
    their input's shape and channels back, and something of it reaches the output past their convolutions. The first is
    residual too, or of the same class as the next.
    """
    regions = regions_of(graph)
    stages: dict[str, Stage] = {}
    taken = list(repeated)  # what is run twice in a pass is no stage, nor are layers that are: they all stay
    for name, container in sorted(modules.items(), key=lambda item: -item[0].count(".")):
        if not isinstance(container, nn.Sequential | nn.ModuleList):
            continue
        children = [child for child, _ in container.named_children()]
        paths = {child: f"{name}.{child}".lstrip(".") for child in children}
        own = [child for child in children if paths[child] in modules]  # others go by a name elsewhere
        free = [child for child in own if not any(f"{path}.".startswith(f"{paths[child]}.") for path in taken)]
        blocks = {child: Block(regions.get(paths[child], []), modules[paths[child]]) for child in free}
        free = [child for child in free if not blocks[child].calls(repeated)]  # under whatever name
        for run in runs(free, blocks, lambda block: block.is_residual(values, widths, modules)):
            whole = len(run) == len(children)
            label = f"{run[0]}-{run[-1]}"
            stages[name if whole and name else f"{name}.{label}".lstrip(".")] = Stage(name, tuple(run))
            taken += [paths[child] for child in run]
    order = list(modules)
    first = {name: order.index(f"{stage.container}.{stage.blocks[0]}".lstrip(".")) for name, stage in stages.items()}
    return dict(sorted(stages.items(), key=lambda item: first[item[0]]))


class Block:
    """One child of a container: the nodes inside, the nodes that feed it, and those that others read."""

    def __init__(self, nodes: list[Node], module: nn.Module) -> None:
        inside = set(nodes)
        self.module = module
        self.inputs = list(
            dict.fromkeys(
                item for node in nodes for item in node.all_input_nodes if item not in inside and item.op != "get_attr"
            )
        )
        self.outputs = [node for node in nodes if any(user not in inside for user in node.users)]
        self.inside = inside
        self.nodes = nodes

    def calls(self, layers: Collection[str]) -> bool:
        """Whether one of these layers is run inside."""
        return any(node.op == "call_module" and node.target in layers for node in self.nodes)

    def follows(self, other: "Block") -> bool:
        """Whether this block reads what the other one gives, and nobody else does."""
        return (
            len(self.inputs) == 1
            and len(other.outputs) == 1
            and self.inputs == other.outputs
            and all(user in self.inside for user in other.outputs[0].users)
        )

    def passes_input_on(self, modules: Mapping[str, nn.Module]) -> bool:
        """Whether a path leads from the input to the output past every convolution and linear layer.

        A number that is read off the input, such as its height, is no path.
        """
        reached = set(self.inputs)
        for node in self.nodes:
            if "shape" not in node.meta:
                continue
            counted = node.op == "call_module" and isinstance(modules[str(node.target)], nn.Conv2d | nn.Linear)
            if not counted and any(item in reached for item in node.all_input_nodes):
                reached.add(node)
        return self.outputs[0] in reached

    def is_residual(self, values: Mapping[Node, Any], widths: Widths, modules: Mapping[str, nn.Module]) -> bool:
        """Whether the block can be left out: shape and channels are kept, and its input reaches its output."""
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            return False
        given, result = self.inputs[0], self.outputs[0]
        if given.meta.get("shape") != result.meta.get("shape"):
            return False
        if not any(isinstance(module, nn.Conv2d | nn.Linear) for module in self.module.modules()):
            return False
        before, after = (known_channels(values[node], widths) for node in (given, result))
        return before == after and self.passes_input_on(modules)


def known_channels(value: Any, widths: Widths) -> Any:
    """The channels of a value under the names of their sets; None where they cannot change."""
    if isinstance(value, Channels):
        settled = Channels(value.dim, widths.settled(value.segments))
        return None if all(isinstance(segment.source, int) for segment in settled.segments) else settled
    return value


def runs(children: list[str], blocks: Mapping[str, Block], is_residual: Callable[[Block], bool]) -> Iterator[list[str]]:
    """The longest chains of at least two blocks in which all after the first can be left out."""
    run: list[str] = children[:1]
    for before, child in pairwise(children):
        first, block = blocks[before], blocks[child]
        if is_residual(block) and block.follows(first):
            if len(run) == 1 and not (is_residual(first) or type(first.module) is type(block.module)):
                run = []
            run = [*run, child]
        else:
            if len(run) > 1:
                yield run
            run = [child]
    if len(run) > 1:
        yield run


def regions_of(graph: fx.Graph) -> dict[str, list[Node]]:
    """Module path -> the nodes that its forward pass made."""
    regions: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for path in node.meta.get("nn_module_stack", {}):
            regions.setdefault(path, []).append(node)
        if node.op == "call_module" and str(node.target) not in node.meta.get("nn_module_stack", {}):
            regions.setdefault(str(node.target), []).append(node)
    return regions
